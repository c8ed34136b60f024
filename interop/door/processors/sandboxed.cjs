// A processor in a child of its own.

module.exports = async (job, token) => {
  switch (job.name) {
    case 'talks':
      await job.updateProgress(10);
      await job.updateProgress({ half: true });
      await job.log('a line');
      await job.updateData({ ...job.data, more: 2 });
      return { data: job.data };
    case 'bad':
      throw new TypeError('no good');
    case 'never': {
      const error = new Error('never again');
      error.name = 'UnrecoverableError';
      throw error;
    }
    case 'later':
      if (job.attemptsStarted === 1) {
        await job.moveToDelayed(Date.now() + 30, token);
        const error = new Error('bullmq:movedToDelayed');
        error.name = 'DelayedError';
        throw error;
      }
      return 'later';
    case 'parent':
      return job.getChildrenValues();
    default:
      return { n: job.data.n, id: job.id, queue: job.queueName };
  }
};

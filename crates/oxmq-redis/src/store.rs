//! `impl Store for RedisStore`: a table of contents, each method one call of an operation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use oxmq_core::store::{
    AddFlowRequest, AddRequest, Added, AdvanceScheduleRequest, Advanced, AnnounceRequest, Answer,
    CancelAnswer, CancelRequest, Cancellation, CancellationsRequest, ChildrenPage, ChildrenRequest,
    CleanRequest, DetachRequest, DrainRequest, EventsPage, EventsRequest, ExtendRequest, Extended,
    FinishRequest, Finished, JobCounts, JobsPage, JobsRequest, LimitRequest, LogsPage, LogsRequest,
    MetaChanged, MetricsPage, MetricsRequest, NoteRequest, ObliterateRequest, OwnerRequest, PromoteRequest,
    PutScheduleRequest, QueueInfo, QueueLimits, RecoverRequest, Recovered, ReleaseRequest, RemoveAnswer,
    RemoveRequest, RemoveScheduleRequest, RescheduleRequest, RetryRequest, ScheduleInfo, Scheduled,
    SchedulesPage, SchedulesRequest, SetMetaRequest, Step, Store, SweepRequest, TakeRequest, Taken, Tally,
    TrimEventsRequest, WaitRequest, Woken, WorkerInfo,
};
use oxmq_core::{Event, EventId, Job, JobId, JobKey, JobOptions, JobView, QueueAddress, Result, Timestamp};
use redis::{Cmd, ToRedisArgs, Value, cmd};

use crate::connection::{Call, Hub};
use crate::keys::Keys;
use crate::ops;
use crate::scripts::Script;

/// Jobs on Redis or Valkey, in BullMQ 6.7's format.
///
/// All connections are owned by one thread of the store's and recover by themselves. Calls that are made on the runtime on
/// which it was opened, in a task or on a runtime of one thread, go by a connection that lives there, which is faster by two
/// changes of thread; all others, and those in a cluster, go by that thread. No runtime needs timers.
pub struct RedisStore {
    hub: Hub,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.hub.describe()).finish()
    }
}

/// A call of a script, to be given its arguments.
pub(crate) struct ScriptCall<'a> {
    store: &'a RedisStore,
    verb: &'static str,
    slot_key: String,
    script: &'static Script,
    pub(crate) command: Cmd,
}

impl ScriptCall<'_> {
    pub(crate) fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// Sends it, never twice.
    pub(crate) async fn once(self) -> Result<Value> {
        self.send(false).await
    }

    /// Sends it, and again after a cut: it does no harm to run it twice.
    pub(crate) async fn repeatable(self) -> Result<Value> {
        self.send(true).await
    }

    async fn send(self, repeatable: bool) -> Result<Value> {
        let Self { store, verb, slot_key, script, command } = self;
        store.hub.call(Call { operation: verb, slot_key, command, script: Some(script), repeatable }).await
    }
}

impl RedisStore {
    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// [`Invalid`](oxmq_core::ErrorKind::Invalid): the URL; [`Unavailable`](oxmq_core::ErrorKind::Unavailable): nobody answers there.
    pub async fn open(url: &str) -> Result<Self> {
        Ok(Self { hub: Hub::open(url).await? })
    }

    /// What was found wrong so far, each with its remedy: with servers an old version, an eviction policy, missing persistence,
    /// a clock that is off; with queues that workers announced themselves for, what BullMQ 5 does there. Each was logged
    /// once, as a warning.
    pub fn warnings(&self) -> Vec<String> {
        self.hub.warnings()
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn keys(&self, queue: &QueueAddress) -> Keys {
        Keys::new(queue, self.hub.is_cluster())
    }

    pub(crate) fn database(&self) -> i64 {
        self.hub.database()
    }

    /// The prefix as it stands in keys.
    pub(crate) fn prefix_in_keys(&self, prefix: &str) -> String {
        crate::keys::prefix_in_keys(prefix, self.hub.is_cluster())
    }

    /// The prefix as users name it.
    pub(crate) fn prefix_of_keys(&self, prefix: &str) -> String {
        crate::keys::prefix_of_keys(prefix, self.hub.is_cluster())
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.hub.is_cluster()
    }

    /// A job's key as it stands in Redis: `P:Q:id`.
    pub(crate) fn job_key(&self, job: &JobKey) -> String {
        self.keys(&job.queue).key(job.id.as_str())
    }

    /// A job as users name it, of one whose prefix is as it stands in keys.
    pub(crate) fn key_of_keys(&self, job: JobKey) -> JobKey {
        let prefix = self.prefix_of_keys(job.queue.prefix());
        match QueueAddress::with_prefix(prefix, job.queue.name().to_owned()) {
            Ok(queue) => JobKey { queue, ..job },
            Err(_) => job,
        }
    }

    /// Names a job's parent as users do.
    pub(crate) fn name_parent(&self, job: &mut Job) {
        if !self.is_cluster() {
            return;
        }
        if let Some(parent) = &mut job.parent {
            parent.key = self.key_of_keys(parent.key.clone());
        }
        // A job that was detached has its parent in the options still.
        if job.opts.as_str().contains("\"parent\"") {
            let mut options = job.options();
            if let Some(key) = options.parent.take() {
                options.parent = Some(self.key_of_keys(key));
                job.opts = options.to_json();
            }
        }
    }

    /// Options as they are stored: the parent's queue has the prefix that stands in keys.
    pub(crate) fn options_in_keys<'a>(&self, options: &'a JobOptions) -> Cow<'a, JobOptions> {
        let Some(parent) = options.parent.as_ref().filter(|_| self.is_cluster()) else {
            return Cow::Borrowed(options);
        };
        let mut options = options.clone();
        let prefix = self.keys(&parent.queue).prefix().to_owned();
        if let (Some(parent), Ok(queue)) =
            (&mut options.parent, QueueAddress::with_prefix(prefix, parent.queue.name().to_owned()))
        {
            parent.queue = queue;
        }
        Cow::Owned(options)
    }

    /// Begins a call of a script.
    pub(crate) fn script(
        &self,
        verb: &'static str,
        queue: &QueueAddress,
        script: &'static Script,
    ) -> ScriptCall<'_> {
        let keys = self.keys(queue);
        let mut command = cmd("EVALSHA");
        command.arg(script.sha());
        keys.write(&mut command);
        ScriptCall { store: self, verb, slot_key: keys.key("meta"), script, command }
    }

    /// Sends a command that only reads.
    pub(crate) async fn read(&self, verb: &'static str, queue: &QueueAddress, command: Cmd) -> Result<Value> {
        self.repeatable(verb, queue, command).await
    }

    /// Sends a command, and again after a cut: it does no harm to run it twice.
    pub(crate) async fn repeatable(
        &self,
        verb: &'static str,
        queue: &QueueAddress,
        command: Cmd,
    ) -> Result<Value> {
        let slot_key = self.keys(queue).key("meta");
        let call = Call { operation: verb, slot_key, command, script: None, repeatable: true };
        self.hub.call(call).await
    }
}

/// A method that hands its request to the operation of the same name.
macro_rules! methods {
    ($($verb:ident = $operation:path, ($type:ty) -> $answer:ty;)*) => {
        $(
            fn $verb<'a>(&'a self, queue: &'a QueueAddress, request: $type) -> Answer<'a, $answer> {
                Box::pin($operation(self, queue, request))
            }
        )*
    };
}

impl Store for RedisStore {
    methods! {
        add = ops::add::add, (AddRequest) -> Vec<Result<Vec<Added>>>;
        deduplication_owner = ops::dedup::owner, (OwnerRequest) -> Option<JobId>;
        release_deduplication = ops::dedup::release, (ReleaseRequest) -> bool;
        take = ops::take::take, (TakeRequest) -> Taken;
        finish = ops::finish::finish, (FinishRequest) -> Finished;
        extend = ops::extend::extend, (ExtendRequest) -> Vec<Extended>;
        recover = ops::recover::recover, (RecoverRequest) -> Recovered;
        wait = ops::wait::wait, (WaitRequest) -> Woken;
        cancellations = ops::cancel::cancellations, (CancellationsRequest) -> Vec<Cancellation>;
        note = ops::note::note, (NoteRequest) -> u64;
        announce = ops::announce::announce, (AnnounceRequest) -> ();
        cancel = ops::cancel::cancel, (CancelRequest) -> CancelAnswer;
        promote = ops::promote::promote, (PromoteRequest) -> Step;
        retry = ops::retry::retry, (RetryRequest) -> Step;
        reschedule = ops::reschedule::reschedule, (RescheduleRequest) -> ();
        remove = ops::remove::remove, (RemoveRequest) -> RemoveAnswer;
        detach = ops::detach::detach, (DetachRequest) -> bool;
        limit = ops::limit::limit, (LimitRequest) -> ();
        set_meta = ops::meta::set_meta, (SetMetaRequest) -> MetaChanged;
        drain = ops::drain::drain, (DrainRequest) -> Step;
        clean = ops::clean::clean, (CleanRequest) -> Step;
        obliterate = ops::obliterate::obliterate, (ObliterateRequest) -> Step;
        sweep = ops::sweep::sweep, (SweepRequest) -> Step;
        put_schedule = ops::schedule::put, (PutScheduleRequest) -> Scheduled;
        advance_schedule = ops::schedule::advance, (AdvanceScheduleRequest) -> Advanced;
        remove_schedule = ops::schedule::remove, (RemoveScheduleRequest) -> bool;
        schedule = ops::schedule::one, (&'a str) -> Option<ScheduleInfo>;
        schedules = ops::schedule::page, (SchedulesRequest) -> SchedulesPage;
        jobs = ops::look::jobs, (JobsRequest) -> JobsPage;
        counts = ops::look::counts, (Timestamp) -> JobCounts;
        metrics = ops::look::metrics, (MetricsRequest) -> MetricsPage;
        limits = ops::limit::limits, (Timestamp) -> QueueLimits;
        logs = ops::look::logs, (LogsRequest) -> LogsPage;
        children = ops::children::children, (ChildrenRequest) -> ChildrenPage;
        workers = ops::workers::workers, (Timestamp) -> Vec<WorkerInfo>;
        events = ops::listen::events, (EventsRequest) -> EventsPage;
    }

    fn pause<'a>(&'a self, queue: &'a QueueAddress, _now: Timestamp) -> Answer<'a, ()> {
        Box::pin(ops::pause::pause(self, queue))
    }

    fn resume<'a>(&'a self, queue: &'a QueueAddress, _now: Timestamp) -> Answer<'a, ()> {
        Box::pin(ops::pause::resume(self, queue))
    }

    fn job<'a>(&'a self, queue: &'a QueueAddress, id: &'a JobId) -> Answer<'a, Option<JobView>> {
        Box::pin(ops::look::job(self, queue, id))
    }

    fn queues(&self, prefix: Option<String>) -> Answer<'_, Vec<QueueInfo>> {
        Box::pin(async move { ops::look::queues(self, prefix.as_deref()).await })
    }

    fn tally<'a>(&'a self, queue: &'a QueueAddress, tally: Tally) -> Answer<'a, Vec<u64>> {
        Box::pin(ops::look::tally(self, queue, tally))
    }

    fn trim_events<'a>(&'a self, queue: &'a QueueAddress, request: TrimEventsRequest) -> Answer<'a, u64> {
        Box::pin(ops::listen::trim_events(self, queue, request))
    }

    fn publish<'a>(&'a self, queue: &'a QueueAddress, event: Event, _now: Timestamp) -> Answer<'a, EventId> {
        Box::pin(ops::listen::publish(self, queue, event))
    }

    fn add_flow(&self, request: AddFlowRequest) -> Answer<'_, Vec<Result<Vec<Added>>>> {
        Box::pin(ops::flow::add_flow(self, request))
    }

    fn meta<'a>(&'a self, queue: &'a QueueAddress) -> Answer<'a, BTreeMap<String, String>> {
        Box::pin(ops::meta::meta(self, queue))
    }

    fn describe(&self) -> String {
        self.hub.describe()
    }

    fn renew(&self) -> Answer<'_, ()> {
        self.hub.renew();
        Box::pin(async { Ok(()) })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.hub.close().await;
            Ok(())
        })
    }
}

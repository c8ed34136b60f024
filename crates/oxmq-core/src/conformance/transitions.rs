//! The table of moves: every state by every move for which there is an intent, legal or not.

use super::harness::{Harness, INTERVAL, LEASE, On, again, completed, draft, failed, finish, ms, tree};
use crate::address::{JobId, Token};
use crate::job::{Job, LeasedJob};
use crate::json::JsonText;
use crate::outcome::Ending;
use crate::state::{JobState, Move, TRANSITIONS};
use crate::store::{Change, RecoverRequest, TakeRequest};

const STATES: [JobState; 7] = [
    JobState::Waiting,
    JobState::Prioritized,
    JobState::Delayed,
    JobState::Active,
    JobState::Completed,
    JobState::Failed,
    JobState::WaitingChildren,
];

const MOVES: [Move; 12] = [
    Move::Promote,
    Move::Take,
    Move::Complete,
    Move::Fail,
    Move::TryAgain,
    Move::GiveBack,
    Move::Recover,
    Move::Retry,
    Move::ChangeDelay,
    Move::ChangePriority,
    Move::Cancel,
    Move::Remove,
];

/// Brings the only job of a queue into a state.
async fn bring(q: &On<'_>, state: JobState, token: &str) -> JobId {
    if state == JobState::WaitingChildren {
        let children = q.harness.on("children");
        let child = tree(&children, &format!("of {}", q.address.name()));
        return q.harness.add_flow(tree(q, "p").over([child])).await.remove(0).id;
    }
    let job = match state {
        JobState::Prioritized => draft().priority(5),
        JobState::Delayed => draft().delay(ms(600_000_000)),
        _ => draft(),
    };
    let id = q.add(job).await;
    if matches!(state, JobState::Active | JobState::Completed | JobState::Failed) {
        let job = q.take_as(token, 1).await.remove(0);
        match state {
            JobState::Completed => drop(q.finish(&job, completed()).await.unwrap()),
            JobState::Failed => drop(q.finish(&job, failed("x")).await.unwrap()),
            _ => {}
        }
    }
    assert_eq!(q.state(&id).await, state);
    id
}

/// Tries a move; whether it happened is seen by looking.
async fn try_move(q: &On<'_>, id: &JobId, by: Move, token: &str) {
    let lease = On::lease(id, token);
    let job = Job::new(id.clone(), String::new(), JsonText::null(), JsonText::null());
    let job = LeasedJob { job, lease };
    let end = async |ending| drop(q.finish_by(vec![finish(&job, ending)], None).await);
    match by {
        Move::Promote => drop(q.promote(id).await),
        Move::Take => drop(q.take_by(TakeRequest { token: Token::new(token), ..q.demand(1) }).await),
        Move::Complete => end(completed()).await,
        Move::Fail => end(failed("x")).await,
        Move::TryAgain => end(again(None)).await,
        Move::GiveBack => end(Ending::Returned).await,
        Move::Recover => {
            q.advance(LEASE + INTERVAL + ms(1)).await;
            let request = RecoverRequest { max_stalled: 1, interval: INTERVAL, now: q.now() };
            q.store().recover(&q.address, request).await.unwrap();
        }
        Move::Retry => {
            drop(q.retry(id, JobState::Failed).await);
            drop(q.retry(id, JobState::Completed).await);
        }
        Move::ChangeDelay => drop(q.reschedule(id, Change::Delay(ms(77))).await),
        Move::ChangePriority => {
            drop(q.reschedule(id, Change::Priority { priority: 3, lifo: false }).await);
        }
        Move::Cancel => drop(q.cancel(id, "x").await),
        Move::Remove => drop(q.remove(id).await),
        _ => unreachable!("no intent is only about {by:?}"),
    }
}

async fn check(q: &On<'_>, from: JobState, by: Move, token: &str, is_held: bool) {
    let id = bring(q, from, token).await;
    let before = q.job(&id).await;
    let here = q.here().await;
    try_move(q, &id, by, token).await;
    let after = q.find(&id).await;
    let mut legal = TRANSITIONS.iter().filter(|(start, cause, _)| *start == Some(from) && *cause == by);
    let state = after.as_ref().map(|view| view.state);
    // A lease protects from removal; that is the one thing that the table cannot tell.
    let protected = by == Move::Remove && is_held;
    if legal.clone().next().is_none() || protected {
        assert_eq!(state, Some(from), "{from} must not be moved by {by:?}");
        if by != Move::ChangePriority {
            assert_eq!(after, Some(before), "{by:?} of {from} must change nothing");
        }
        q.expect_events(&here, &[]).await;
    } else {
        assert!(legal.any(|(_, _, to)| *to == state), "{from} by {by:?} went to {state:?}");
        assert_ne!(after, Some(before), "{by:?} of {from} did nothing");
    }
    assert_eq!(q.counts().await.total(), u64::from(state.is_some()));
}

pub async fn every_move_of_every_state_is_as_the_table_says(bench: &Harness) {
    for from in STATES {
        for by in MOVES {
            let q = bench.on(&format!("{from}-{by:?}"));
            check(&q, from, by, "w:1", from == JobState::Active).await;
        }
    }
}

pub async fn the_same_holds_without_locking(bench: &Harness) {
    for from in STATES {
        for by in MOVES {
            let q = bench.on(&format!("{from}-{by:?}"));
            check(&q, from, by, "0", false).await;
        }
    }
}

pub async fn nothing_can_be_done_with_a_job_that_is_not_there(bench: &Harness) {
    let q = bench.queue();
    for by in MOVES {
        try_move(&q, &"nobody".into(), by, "w:1").await;
    }
    assert_eq!(q.counts().await.total(), 0);
    assert!(q.events_since(&crate::EventCursor::Oldest).await.is_empty());
}

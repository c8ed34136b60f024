//! Every kind of job, added by one side and done by the other.

use oxmq_core::JobState;
use oxmq_interop::{Rig, Side, Work};
use serde_json::{Value, json};

/// Values that are easily broken on the way.
fn tricky() -> Vec<Value> {
    vec![
        json!({ "text": "grüße 你好 🚀 \u{7f} \u{1} a/b \\ \"q\"", "key/with\u{7f}": 1 }),
        json!({ "big": 12_345_678_901_234_u64, "max": 9_007_199_254_740_991_u64, "small": -1.5e-7, "float": 0.1 }),
        json!({ "empty": [], "object": {}, "nested": [[], {}, [null]], "none": null }),
        json!([]),
        json!([1, "a", null]),
        json!("text"),
        json!(0),
        json!(false),
        json!(null),
    ]
}

#[tokio::test]
async fn data_and_results_survive_the_way_through_both() {
    for adds in Side::BOTH {
        let rig = Rig::new().await;
        let works = rig.work(adds.other(), Work::default()).await;
        for data in tricky() {
            let id = rig.add(adds, "echo", data.clone(), json!({})).await;
            for looks in Side::BOTH {
                assert_eq!(rig.outcome(looks, &id).await, Ok(data.clone()), "{adds:?} adds, {looks:?} looks");
            }
        }
        works.close().await;
    }
}

#[tokio::test]
async fn jobs_run_in_the_same_order_whoever_adds_them() {
    for adds in Side::BOTH {
        let rig = Rig::new().await;
        rig.node("pause", json!([])).await;
        let mut ids = Vec::new();
        for opts in [
            json!({}),
            json!({}),
            json!({ "lifo": true }),
            json!({ "priority": 5 }),
            json!({ "priority": 1 }),
            json!({ "priority": 5 }),
            json!({ "delay": 60_000 }),
            json!({ "delay": 30_000, "priority": 3 }),
            json!({ "jobId": "mine" }),
        ] {
            ids.push(rig.add(adds, "echo", json!(1), opts).await);
        }
        let order = |places: &[usize]| places.iter().map(|place| ids[*place].clone()).collect::<Vec<_>>();
        for looks in Side::BOTH {
            assert_eq!(rig.ids(looks, JobState::Waiting).await, order(&[2, 0, 1, 8]), "{adds:?} {looks:?}");
            assert_eq!(rig.ids(looks, JobState::Prioritized).await, order(&[4, 3, 5]), "{adds:?} {looks:?}");
            assert_eq!(rig.ids(looks, JobState::Delayed).await, order(&[7, 6]), "{adds:?} {looks:?}");
        }
        rig.queue.promote_all(|_| {}).await.unwrap();
        rig.queue.resume().await.unwrap();
        let works = rig.work(adds.other(), Work::default()).await;
        for id in &ids {
            rig.reaches(id, JobState::Completed).await;
        }
        works.close().await;
        // The delayed one without a priority was promoted behind those that waited.
        let done = rig.ids(Side::Node, JobState::Completed).await;
        assert_eq!(done.len(), ids.len());
    }
}

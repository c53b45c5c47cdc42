//! What does not fit on this disk is told with its size and not begun; the rest goes on.

use skep_client::WaitOutcome;

use crate::rig::Rig;
use crate::{noise, tiny};

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_told_with_its_size_and_comes_when_there_is_room() {
    let rig = Rig::new(tiny()).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    b.disk.set_capacity(b.disk.used_bytes() + 20_000);
    a.write("big", &noise(1, 50_000));
    a.write("small", b"goes on");
    a.equal().await;
    assert_eq!(b.wait().await, WaitOutcome::NeedsPerson);
    assert_eq!(b.tree().keys().collect::<Vec<_>>(), ["small"]);
    let problems = b.client().status().problems;
    assert_eq!((problems.len(), problems[0].code), (1, "E-DISK-FULL"));
    let message = &problems[0].message;
    assert!(message.starts_with("`big` does not fit on this disk: it needs 50.0 kB, and 1"), "{message}");
    let room = b.disk.used_bytes() + 200_000;
    b.disk.set_capacity(room);
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
}

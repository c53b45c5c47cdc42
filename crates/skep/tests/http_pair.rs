//! The two ends of the wire against each other, over real TLS on loopback: what one end means is what the other one gets.
#![expect(clippy::unwrap_used, reason = "a failed test should stop at once")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use skep::link::{HttpLink, ServerAddress, probe_fingerprint};
use skep_client::{Link, LinkError};
use skep_platform::runtime::RuntimeTasks;
use skep_protocol::{
    AnswerId, AnswerState, Author, BodyError, ByteStream, ClassicId, Code, Connected, DriveSummary, Entries,
    ErrorReply, FeedRequest, Fingerprint, FoundNode, Frame, FrameKind, FrameStream, History, Introduction, Joined,
    KnockAnswer, KnockId, KnockState, KnockSummary, Knocked, Lineage, Locator, ManifestFrame, Needs, OpenKnock, Past,
    Pasts, Proof, Reply, Request, SnapshotRows, Trash, TrashItem, TrashPlace, Verdict, body_of,
};
use skep_server::answers::Answers;
use skep_server::listen::Door;
use skep_server::{keys, listen, stop};
use skep_types::{
    AccountId, ChunkId, CommitId, Content, Cursor, DeviceId, DriveId, Entry, FieldGroups, Fork, Generation, Limits,
    ListId, Mode, Name, NodeId, NodeState, Place, Seq, Standing, Timestamp, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Quick to give up, so that silence can be tested.
const LIMITS: Limits = Limits { dead_peer_ms: 400, heartbeat_ms: 100, ..Limits::SHIPPED };

/// What the scripted server does next, and what it got.
#[derive(Clone)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    feed: Option<Result<ByteStream, ErrorReply>>,
    received: Vec<Result<Frame, BodyError>>,
    tokens: Vec<Option<String>>,
    requests: Vec<FeedRequest>,
}

enum Answer {
    /// After the whole body was read.
    After(ByteStream),
    /// Without a look at the body.
    AtOnce(ByteStream),
    /// Sends every frame back while it comes in.
    Echo,
    Never,
}

impl Script {
    /// Completes when so many frames (or the error after them) have come in.
    async fn has_received(&self, count: usize) {
        while self.0.lock().unwrap().received.len() < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Answers for Script {
    async fn call(&self, token: Option<&str>, peer: &str, body: ByteStream) -> ByteStream {
        assert!(peer.parse::<SocketAddr>().is_ok());
        let answer = {
            let mut state = self.0.lock().unwrap();
            state.tokens.push(token.map(str::to_owned));
            state.answer.take().unwrap()
        };
        match answer {
            Answer::AtOnce(answer) => answer,
            Answer::Echo => body,
            Answer::Never => std::future::pending().await,
            Answer::After(answer) => {
                let mut frames = FrameStream::new(body, LIMITS.frame_bytes_max);
                loop {
                    let frame = frames.next_frame().await;
                    let ended = matches!(frame, Ok(None) | Err(_));
                    if let Some(frame) = frame.transpose() {
                        self.0.lock().unwrap().received.push(frame);
                    }
                    if ended {
                        return answer;
                    }
                }
            }
        }
    }

    async fn feed(&self, token: &str, _peer: &str, request: FeedRequest) -> Result<ByteStream, ErrorReply> {
        let mut state = self.0.lock().unwrap();
        state.tokens.push(Some(token.to_owned()));
        state.requests.push(request);
        state.feed.take().unwrap()
    }
}

struct Pair {
    script: Script,
    link: HttpLink,
    local: SocketAddr,
    fingerprint: Fingerprint,
    stop: stop::Stop,
    serving: JoinHandle<()>,
    _keys: tempfile::TempDir,
}

impl Pair {
    async fn start() -> Pair {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let keys_dir = tempfile::tempdir().unwrap();
        let identity = keys::identity(keys_dir.path()).unwrap();
        let (listener, local) = listen::bind("127.0.0.1:0").await.unwrap();
        let (stop, stopping) = stop::channel();
        let script = Script(Arc::default());
        let tasks = RuntimeTasks::new(tokio::runtime::Handle::current());
        let served = listen::serve(listener, Door::with(identity.tls), script.clone(), LIMITS, tasks, stopping);
        #[expect(clippy::disallowed_methods, reason = "a test watches the server end")]
        let serving = tokio::spawn(served);
        let address = local.to_string().parse().unwrap();
        let link = HttpLink::new(address, identity.fingerprint, LIMITS);
        Pair { script, link, local, fingerprint: identity.fingerprint, stop, serving, _keys: keys_dir }
    }

    fn answer(&self, answer: Answer) {
        self.script.0.lock().unwrap().answer = Some(answer);
    }

    fn feed(&self, feed: Result<ByteStream, ErrorReply>) {
        self.script.0.lock().unwrap().feed = Some(feed);
    }

    fn received(&self) -> Vec<Result<Frame, BodyError>> {
        std::mem::take(&mut self.script.0.lock().unwrap().received)
    }

    async fn plain(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.local).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

async fn frames_of(answer: ByteStream) -> Result<Vec<Frame>, BodyError> {
    let mut frames = FrameStream::new(answer, LIMITS.frame_bytes_max);
    let mut all = Vec::new();
    while let Some(frame) = frames.next_frame().await? {
        all.push(frame);
    }
    Ok(all)
}

fn cursor() -> Cursor {
    Cursor { generation: Generation::from_bytes([7; 16]), seq: Seq(9), commit: Some(CommitId::from_bytes([8; 16])) }
}

fn feed_request() -> FeedRequest {
    FeedRequest { drive: DriveId::from_bytes([1; 16]), after: cursor(), wants_content: true }
}

fn every_request() -> Vec<Request> {
    let drive = DriveId::from_bytes([1; 16]);
    let (chunks, lists) = (vec![ChunkId::from_bytes([2; 32]); 3], vec![ListId::from_bytes([3; 32])]);
    let text = |text: &str| text.to_owned();
    vec![
        Request::Join {
            user: text("maya"),
            password: text("pass wörd"),
            device_name: text("thinkpad"),
            platform: text("linux"),
            client_version: text("skep 0"),
        },
        Request::Hello { features: vec![text("x")], client_version: text("skep 0") },
        Request::Commit { drive, seen: Some(cursor()) },
        Request::Upload { drive },
        Request::Lacks { drive, chunks: chunks.clone(), needs: Some(Needs { lengths: vec![7], besides: 9 }) },
        Request::Fetch { drive, chunks },
        Request::Manifests { drive, lists },
        Request::Entries { drive, after: cursor() },
        Request::Snapshot { drive, after: Some(NodeId::from_bytes([4; 16])) },
        Request::Head { drive },
        Request::Find { drive, path: vec![name(), name()] },
        Request::History { drive, node: NodeId::from_bytes([3; 16]), before: Some(Seq(9)) },
        Request::Trash { drive, search: Some("budget".to_owned()), from: Some(TrashPlace::Before(Seq(8))) },
        Request::Pasts {
            drive,
            directory: NodeId::ROOT,
            at: Timestamp { seconds: 5, nanoseconds: 7 },
            then: Some(Seq(4)),
            after: None,
        },
        Request::NewAccount { id: classic_id(), device: introduction() },
        Request::NewDevice { id: classic_id(), device: introduction(), drive: Some(drive) },
        Request::CheckId { id: classic_id() },
        Request::ReplaceId { id: classic_id() },
        Request::Compare { drive, versions: vec![version()] },
        Request::Departed { drive, seen: cursor(), held: Some(version()) },
        Request::Knock { device: introduction(), message: vec![1; 33], user: Some(text("maya")), drive: Some(drive) },
        Request::KnockState { knock: KnockId([1; 32]) },
        Request::KnockAgain { knock: KnockId([1; 32]), message: vec![2; 33] },
        Request::Enter { knock: KnockId([1; 32]), proof: proof() },
        Request::Knocks,
        Request::LookAtKnock { locator: Locator::numbered(1023) },
        Request::AnswerKnock { locator: Locator::numbered(7), answer: knock_answer() },
        Request::AnswerState { answer: AnswerId([4; 16]) },
    ]
}

fn version() -> Version {
    Version { seq: Seq(7), commit: CommitId::from_bytes([8; 16]) }
}

fn classic_id() -> ClassicId {
    ClassicId::from_bytes([7; ClassicId::LEN])
}

fn introduction() -> Introduction {
    let text = |text: &str| text.to_owned();
    Introduction { name: text("thinkpad"), platform: text("linux"), client_version: text("skep 0") }
}

fn name() -> Name {
    Name::try_from("report.odt").unwrap()
}

fn node() -> NodeState {
    let version = Version { seq: Seq(8), commit: CommitId::from_bytes([4; 16]) };
    NodeState {
        node: NodeId::from_bytes([3; 16]),
        place: Place { parent: NodeId::ROOT, name: name(), trashed: true },
        content: Content::Directory,
        mode: Mode::default(),
        place_version: version,
        content_version: version,
        mode_version: version,
    }
}

fn entry() -> Entry {
    let (state, time) = (node(), Timestamp { seconds: 5, nanoseconds: 7 });
    Entry { seq: Seq(8), commit: state.place_version.commit, time, changed: FieldGroups::ALL, state }
}

fn author() -> Author {
    let device = DeviceId::from_bytes([6; 8]);
    Author { device, device_name: "thinkpad".to_owned(), account_name: "maya".to_owned(), by_hand: true }
}

fn every_reply() -> Vec<Reply> {
    let drives = vec![DriveSummary { drive: DriveId::from_bytes([1; 16]), name: "home".to_owned(), head: cursor() }];
    let joined = Joined {
        account: AccountId::from_bytes([5; 16]),
        device: DeviceId::from_bytes([6; 8]),
        token: "secret".to_owned(),
        drives: drives.clone(),
    };
    vec![
        Reply::Done,
        Reply::Joined(joined.clone()),
        Reply::Hello {
            account_name: "maya".to_owned(),
            device_name: "thinkpad".to_owned(),
            drives,
            features: Vec::new(),
            server_version: "skep-server 0".to_owned(),
            time: Some(Timestamp { seconds: 5, nanoseconds: 7 }),
        },
        Reply::Lacks { chunks: vec![ChunkId::from_bytes([2; 32])] },
        Reply::Head { head: cursor() },
        Reply::Lineage(Lineage {
            head: cursor(),
            floor: Seq(3),
            forks: vec![Fork { parent: cursor().generation, at: Seq(5), generation: Generation::from_bytes([9; 16]) }],
            standings: vec![Standing::Held, Standing::Other, Standing::Thinned],
        }),
        Reply::Connected(Connected {
            joined,
            account_name: "account-7Q4K".to_owned(),
            device_name: "thinkpad 2".to_owned(),
        }),
        Reply::Found(vec![FoundNode { state: node(), in_trash: true }]),
        Reply::History(History { entries: vec![entry()], authors: vec![author()], more: true }),
        Reply::Trash(Trash {
            items: vec![TrashItem {
                state: node(),
                path: vec![name()],
                deleted: Timestamp { seconds: 9, nanoseconds: 1 },
                by: author().device,
                by_itself: true,
            }],
            authors: vec![author()],
            next: Some(TrashPlace::After(NodeId::from_bytes([3; 16]))),
        }),
        Reply::Pasts(Pasts {
            nodes: vec![Past {
                now: node(),
                then: None,
                path_now: vec![name()],
                path_then: vec![],
                trashed_now: false,
                trashed_then: false,
            }],
            then: Seq(4),
            head: Seq(7),
            time: Timestamp { seconds: 5, nanoseconds: 7 },
            next: None,
        }),
    ]
}

fn proof() -> Proof {
    Proof::from_kept([3; 32])
}

fn knock_answer() -> KnockAnswer {
    KnockAnswer { round: 4, message: vec![5; 33], proof: proof(), expected: proof(), verdict: Verdict::Denied }
}

fn replies_to_knocks() -> Vec<Reply> {
    let summary = KnockSummary {
        device: introduction(),
        peer: "192.0.2.7:5000".to_owned(),
        made: Timestamp { seconds: 5, nanoseconds: 7 },
        age_ms: 40_000,
        user: Some("maya".to_owned()),
    };
    let answered = KnockState::Answered { message: vec![1; 33], proof: proof(), verdict: Verdict::Approved };
    vec![
        Reply::Knocked(Knocked {
            knock: KnockId([1; 32]),
            locator: Locator::numbered(9),
            poll_ms: 2_000,
            valid_ms: 900_000,
        }),
        Reply::KnockState(KnockState::Waiting),
        Reply::KnockState(answered),
        Reply::Knocks { knocks: vec![summary.clone()] },
        Reply::Knock(OpenKnock { summary, message: vec![2; 33], round: 1 }),
        Reply::KnockAnswered { answer: AnswerId([4; 16]) },
        Reply::AnswerState(AnswerState::Waiting),
        Reply::AnswerState(AnswerState::Entered { device_name: "nas".to_owned() }),
        Reply::AnswerState(AnswerState::TurnedAway),
        Reply::AnswerState(AnswerState::Wrong),
    ]
}

fn every_code() -> Vec<Code> {
    use Code::*;
    vec![
        BadRequest, SignIn, NotAllowed, NotFound, TooLarge, NoSpace, Quota, Busy, RateLimit, History, Damaged,
        Internal, Exists, WrongHash, NotOpen, JoinCode, Denied,
    ]
}

#[tokio::test]
async fn every_request_and_reply_arrives_as_it_was_sent() {
    let pair = Pair::start().await;
    let replies = [every_reply(), replies_to_knocks()].concat();
    let requests = every_request();
    let count = requests.len().max(replies.len());
    for index in 0..count {
        let (request, reply) = (&requests[index % requests.len()], &replies[index % replies.len()]);
        let sent = vec![
            Frame::cbor(FrameKind::Request, request),
            Frame::new(FrameKind::Block, vec![index as u8; 300_000]),
            Frame::cbor(FrameKind::Manifest, &ManifestFrame { list: ListId::from_bytes([3; 32]), bytes: vec![1, 2] }),
        ];
        let rows = SnapshotRows { rows: Vec::new(), more: true, head: cursor() };
        let answered = vec![
            Frame::cbor(FrameKind::Reply, reply),
            Frame::cbor(FrameKind::SnapshotRows, &rows),
            Frame::new(FrameKind::Block, vec![9; 100_000]),
        ];
        pair.answer(Answer::After(body_of(answered.clone())));
        let answer = pair.link.call(Some("token"), body_of(sent.clone())).await.unwrap();
        assert_eq!(frames_of(answer).await.unwrap(), answered);
        assert_eq!(pair.received(), sent.into_iter().map(Ok).collect::<Vec<_>>());
    }
    pair.answer(Answer::After(body_of(Vec::new())));
    drop(pair.link.call(None, body_of(Vec::new())).await.unwrap());
    let tokens = &pair.script.0.lock().unwrap().tokens;
    assert_eq!((tokens.first().unwrap(), tokens.last().unwrap()), (&Some("token".to_owned()), &None));
}

#[tokio::test]
async fn every_refusal_arrives_as_it_was_meant() {
    let pair = Pair::start().await;
    for code in every_code() {
        let refusal = ErrorReply { code, message: format!("because of {code}"), retry_after_ms: Some(1500) };
        // As a frame in place of the reply, and as a stream that failed at once.
        let framed = Box::pin(stream::iter([Ok(Frame::cbor(FrameKind::Error, &refusal).to_bytes())]));
        let failed = Box::pin(stream::iter([Err(BodyError::Refused(refusal.clone()))]));
        for answer in [framed as ByteStream, failed] {
            pair.answer(Answer::After(answer));
            let refused = pair.link.call(Some("token"), body_of(Vec::new())).await.err();
            assert_eq!(refused, Some(LinkError::Refused(refusal.clone())));
        }
        let request = every_request().pop().unwrap();
        let begun = stream::iter([
            Ok(Frame::cbor(FrameKind::Reply, &Reply::Done).to_bytes()),
            Err(BodyError::Refused(refusal.clone())),
        ]);
        pair.answer(Answer::After(Box::pin(begun)));
        let body = body_of(vec![Frame::cbor(FrameKind::Request, &request)]);
        let answer = pair.link.call(Some("token"), body).await.unwrap();
        assert_eq!(frames_of(answer).await, Err(BodyError::Refused(refusal)));
    }
}

#[tokio::test]
async fn a_refusal_reaches_the_sender_of_a_body_that_nobody_read() {
    let pair = Pair::start().await;
    let refusal = ErrorReply::new(Code::SignIn, "who are you?");
    for _ in 0..20 {
        pair.answer(Answer::AtOnce(body_of(vec![Frame::cbor(FrameKind::Error, &refusal)])));
        let body = body_of(vec![Frame::new(FrameKind::Block, vec![0; 1 << 20]); 8]);
        assert_eq!(pair.link.call(None, body).await.err(), Some(LinkError::Refused(refusal.clone())));
    }
}

#[tokio::test]
async fn a_body_streams_both_ways_at_once() {
    let pair = Pair::start().await;
    pair.answer(Answer::Echo);
    let (sender, receiver) = mpsc::channel(1);
    let body = stream::unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
    sender.send(Bytes::from_static(&[2])).await.unwrap();
    let mut answer = pair.link.call(Some("token"), Box::pin(body)).await.unwrap();
    for piece in [&b"one"[..], b"two", b"three"] {
        sender.send(Bytes::copy_from_slice(piece)).await.unwrap();
        let mut back = Vec::new();
        while !back.ends_with(piece) {
            back.extend_from_slice(&answer.next().await.unwrap().unwrap());
        }
    }
    drop(sender);
    assert_eq!(answer.next().await, None);
}

#[tokio::test]
async fn a_cut_body_is_noticed_at_the_other_end() {
    let pair = Pair::start().await;
    // The sender gives up.
    let block = Frame::new(FrameKind::Block, vec![1; 100]);
    pair.answer(Answer::After(body_of(Vec::new())));
    let script = pair.script.clone();
    let fails_later = stream::once(async move {
        script.has_received(1).await;
        Err(BodyError::Cut("the disk failed".into()))
    });
    let cut = stream::iter([Ok(block.to_bytes())]).chain(fails_later);
    let failed = pair.link.call(Some("token"), Box::pin(cut)).await;
    assert!(matches!(failed, Err(LinkError::Unreachable(_))));
    pair.script.has_received(2).await;
    let received = pair.received();
    assert_eq!(received[0], Ok(block.clone()));
    assert!(matches!(received[1], Err(BodyError::Cut(_))), "{received:?}");

    // The answer breaks, or ends in the middle of a frame, or comes to a halt.
    let begun = || stream::iter([Ok(block.to_bytes()), Ok(Bytes::from_static(&[4, 0, 9]))]);
    let broken = begun().chain(stream::iter([Err(BodyError::Cut("the disk failed".into()))]));
    let answers: [ByteStream; 3] = [Box::pin(broken), Box::pin(begun()), Box::pin(begun().chain(stream::pending()))];
    for answer in answers {
        pair.answer(Answer::AtOnce(answer));
        // One that breaks before its first byte is out is no answer at all.
        match pair.link.call(Some("token"), body_of(Vec::new())).await {
            Ok(answer) => assert!(matches!(frames_of(answer).await, Err(BodyError::Cut(_)))),
            Err(error) => assert!(matches!(error, LinkError::Unreachable(_))),
        }
    }
}

#[tokio::test]
async fn silence_is_noticed_at_both_ends() {
    let pair = Pair::start().await;
    pair.answer(Answer::Never);
    let silent = pair.link.call(Some("token"), body_of(Vec::new())).await;
    assert!(matches!(silent, Err(LinkError::Unreachable(_))));

    pair.answer(Answer::After(body_of(Vec::new())));
    let block = Frame::new(FrameKind::Block, vec![1; 100]);
    let halting = stream::iter([Ok(block.to_bytes())]).chain(stream::pending());
    drop(pair.link.call(Some("token"), Box::pin(halting)).await.unwrap());
    assert!(matches!(pair.received()[..], [Ok(_), Err(BodyError::Cut(_))]));
}

#[tokio::test]
async fn another_key_is_told_apart_from_another_failure() {
    let pair = Pair::start().await;
    let address: ServerAddress = pair.local.to_string().parse().unwrap();
    assert_eq!(probe_fingerprint(&address).await, Ok(pair.fingerprint));

    let stranger = Fingerprint([0; 32]);
    let link = HttpLink::new(address, stranger, LIMITS);
    let expected = Some(LinkError::WrongKey(format!("known {stranger}, now {}", pair.fingerprint)));
    assert_eq!(link.call(None, body_of(Vec::new())).await.err(), expected);
    assert_eq!(link.feed("token", feed_request()).await.err(), expected);

    let nobody = HttpLink::new("127.0.0.1:1".parse().unwrap(), stranger, LIMITS);
    assert!(matches!(nobody.call(None, body_of(Vec::new())).await, Err(LinkError::Unreachable(_))));
    assert!(matches!(nobody.feed("token", feed_request()).await, Err(LinkError::Unreachable(_))));
}

#[tokio::test]
async fn a_feed_carries_frames_and_ends_in_order() {
    let pair = Pair::start().await;
    let entries =
        Entries { drive: DriveId::from_bytes([1; 16]), after: Seq(9), entries: Vec::new(), to: cursor(), head: Seq(9) };
    let sent = vec![Frame::new(FrameKind::Block, vec![5; 70_000]), Frame::cbor(FrameKind::Entries, &entries)];
    pair.feed(Ok(body_of(sent.clone())));
    let feed = pair.link.feed("feed token", feed_request()).await.unwrap();
    let mut frames = frames_of(feed).await.unwrap();
    frames.retain(|frame| frame.kind != FrameKind::Heartbeat);
    assert_eq!(frames, sent);
    let mut state = pair.script.0.lock().unwrap();
    assert_eq!(state.requests, [feed_request()]);
    assert_eq!(state.tokens.pop(), Some(Some("feed token".to_owned())));
}

#[tokio::test]
async fn a_feed_lives_by_pings_alone_and_dies_of_silence() {
    let pair = Pair::start().await;
    let (sender, receiver) = mpsc::channel(1);
    let quiet = stream::unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
    pair.feed(Ok(Box::pin(quiet)));
    let mut feed = pair.link.feed("token", feed_request()).await.unwrap();
    assert!(feed.next().await.unwrap().is_ok(), "the first message says that the feed is open");
    // Longer than the dead peer's time: only pings and pongs travel.
    let nothing = tokio::time::timeout(Duration::from_millis(LIMITS.dead_peer_ms * 3), feed.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    sender.send(Frame::end().to_bytes()).await.unwrap();
    assert_eq!(feed.next().await, Some(Ok(Frame::end().to_bytes())));
    assert_eq!(feed.next().await, None);

    // A device that does not ask for the next frame sends no pings: the server lets go of the feed.
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let quiet = stream::unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
    pair.feed(Ok(Box::pin(quiet)));
    let _frozen = pair.link.feed("token", feed_request()).await.unwrap();
    sender.closed().await;
}

#[tokio::test]
async fn a_refused_feed_says_why() {
    let pair = Pair::start().await;
    let refusal = ErrorReply::new(Code::History, "that is another history");
    pair.feed(Err(refusal.clone()));
    assert_eq!(pair.link.feed("token", feed_request()).await.err(), Some(LinkError::Refused(refusal.clone())));

    let middle = stream::iter([
        Ok(Frame::new(FrameKind::Heartbeat, Bytes::new()).to_bytes()),
        Err(BodyError::Refused(refusal.clone())),
    ]);
    pair.feed(Ok(Box::pin(middle)));
    let feed = pair.link.feed("token", feed_request()).await.unwrap();
    assert_eq!(frames_of(feed).await, Err(BodyError::Refused(refusal)));
}

#[tokio::test]
async fn plain_http_is_sent_to_tls_and_strange_hosts_are_not_repeated() {
    let pair = Pair::start().await;
    let answer = pair.plain("GET /a/b?c HTTP/1.1\r\nHost: attic:7537\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.contains("location: https://attic:7537/a/b?c\r\n"), "{answer}");
    let answer = pair.plain("GET / HTTP/1.1\r\nHost: evil/x@attic\r\n\r\n").await;
    assert!(answer.contains(&format!("location: https://{}/\r\n", pair.local)), "{answer}");
}

#[tokio::test]
async fn a_stopping_server_lets_calls_finish_and_ends_feeds() {
    let pair = Pair::start().await;
    let (sender, receiver) = mpsc::channel(1);
    let slow = stream::unfold(receiver, |mut receiver| async move { Some((Ok(receiver.recv().await?), receiver)) });
    pair.answer(Answer::After(Box::pin(slow)));
    sender.send(Frame::cbor(FrameKind::Reply, &Reply::Done).to_bytes()).await.unwrap();
    let answer = pair.link.call(Some("token"), body_of(Vec::new())).await.unwrap();
    pair.feed(Ok(Box::pin(stream::pending())));
    let feed = pair.link.feed("token", feed_request()).await.unwrap();

    pair.stop.stop();
    let heartbeat = Frame::new(FrameKind::Heartbeat, Bytes::new());
    assert_eq!(frames_of(feed).await, Ok(vec![heartbeat]), "the feed ends with an end frame");
    sender.send(Frame::end().to_bytes()).await.unwrap();
    drop(sender);
    assert_eq!(frames_of(answer).await.unwrap().len(), 1);
    pair.serving.await.unwrap();
    assert!(TcpStream::connect(pair.local).await.is_err());
}

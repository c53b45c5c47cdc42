//! What differs from seed to seed: sizes, habits, faults. Each is drawn, and many are drawn to be absent, so that some seeds
//! know only one kind of trouble.

use skep_client::Feed;
use skep_types::{Alphabet, Limits};

use crate::disk::DiskConfig;
use crate::network::NetworkConfig;
use crate::workload::Action;
use crate::{Habits, Names, Random};

/// Of so many worlds, one has disks that do not hold every name, time or mode.
const LIMITED_ONE_IN: u64 = 4;

/// How often things go wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Kills of a client's process, per million calls of its disk.
    pub client_kills_per_million: u64,
    /// Power cuts of a client's machine, per million calls of its disk.
    pub client_power_cuts_per_million: u64,
    /// Kills of the server's process, per million calls of its disk.
    pub server_kills_per_million: u64,
    /// Power cuts of the server's machine, per million calls of its disk.
    pub server_power_cuts_per_million: u64,
    /// Calls of the disk before which a person does something, per million.
    pub meddling_per_million: u64,
    /// What people do just before a rename is often a save of that very file.
    pub hasty_saves: bool,
    /// Power cuts of a client's machine right after it was told that all is equal, per million such answers.
    pub cuts_when_equal_per_million: u64,
    /// Calls of a client's disk that fail, per million.
    pub disk_errors_per_million: u64,
    /// Mean time between troubles that strike at any time: kills, partitions, lost hints, clock jumps; 0: none.
    pub strikes_every_ms: u64,
}

/// How often folder and server meet in another way than before.
#[derive(Debug, Clone, Default)]
pub struct Meetings {
    /// Mean time between copies of the server's data; 0: none are made.
    pub backup_every_ms: u64,
    /// Mean time between two times that a copy is brought back; 0: none is.
    pub restore_every_ms: u64,
    /// Mean time between two times that a client loses its state; 0: none does.
    pub state_loss_every_ms: u64,
    /// Mean time between rounds of garbage collection; 0: there are none.
    pub collect_every_ms: u64,
    /// How long the past is kept.
    pub retention_ms: u64,
}

/// What worlds are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Swarm {
    /// Everything but the troubles below.
    #[default]
    Usual,
    /// The same worlds, in which servers are brought back from copies, clients lose their state, and the past goes.
    Meetings,
}

/// One world.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bounds under which client and server run.
    pub limits: Limits,
    /// Client machines.
    pub machines: usize,
    /// Their disks.
    pub disks: Vec<DiskConfig>,
    /// Their clocks' errors.
    pub clock_offsets_ms: Vec<i64>,
    /// What people do on each.
    pub habits: Vec<Habits>,
    /// Actions on each.
    pub actions: u64,
    /// Longest pause between two actions.
    pub pause_ms_max: u64,
    /// Machines touch different names only, so that nothing may conflict.
    pub is_apart: bool,
    /// People write, change and remove ignore files.
    pub has_rules: bool,
    /// People choose which directories are on their machines.
    pub has_selection: bool,
    /// How clients hear of changes.
    pub feed: Feed,
    /// The network.
    pub network: NetworkConfig,
    /// What goes wrong.
    pub faults: Faults,
    /// How folder and server meet.
    pub meetings: Meetings,
    /// In the end a folder is emptied while its client is down.
    pub is_emptied: bool,
    /// In the end so many files are damaged by their disks.
    pub rotten_files: usize,
}

impl Options {
    /// The world of a seed.
    pub fn drawn(seed: u64, swarm: Swarm) -> Options {
        let mut random = Random::new(seed);
        let options = Options::draw(&mut random);
        // Drawn last: all else is as it would be without.
        let options = match swarm {
            Swarm::Usual => Options { has_selection: random.range(0..=5) == 0, ..options },
            Swarm::Meetings => Options { meetings: draw_meetings(&mut random), ..options },
        };
        if random.range(0..=LIMITED_ONE_IN - 1) == 0 { draw_limited(&mut random, options) } else { options }
    }

    fn draw(random: &mut Random) -> Options {
        let mut limits = draw_limits(random);
        let machines = *random.pick(&[1, 2, 2, 2, 3, 3]);
        let is_apart = random.range(0..=3) == 0;
        let is_faultless = random.range(0..=3) == 0;
        let faults = if is_faultless { Faults::default() } else { draw_faults(random) };
        let mut network = draw_network(random, &limits);
        if is_faultless {
            (network.cuts_per_million, network.refusals_per_million) = (0, 0);
        }
        let shares = draw_shares(random);
        let content_bytes_max = *random.pick(&[24, 150, 600]);
        let habits = |machine: usize| Habits {
            mark: if is_apart { format!("-{machine}") } else { String::new() },
            shares: shares.clone(),
            content_bytes_max,
            has_rules: false,
            names: Names::Simple,
        };
        let habits: Vec<Habits> = (0..machines).map(habits).collect();
        let disks = (0..machines).map(|_| draw_disk(random)).collect();
        let clock_offsets_ms = (0..machines).map(|_| draw_clock_offset(random)).collect();
        let actions = *random.pick(&[4, 10, 25, 50]);
        let feed = *random.pick(&[Feed::Push, Feed::Push, Feed::Push, Feed::Poll]);
        let pause_ms_max = *random.pick(&[0, 5, 60, 800, 4_000]);
        // Drawn last, so that worlds without rules are as they were. Ignore files are met by all machines.
        let has_rules = random.range(0..=3) == 0 && !is_apart;
        let habits: Vec<Habits> = habits.into_iter().map(|habits| Habits { has_rules, ..habits }).collect();
        let faults = if is_faultless || has_rules { faults } else { draw_late_faults(random, faults) };
        let habits = if faults.hasty_saves { close_files_at_once(habits) } else { habits };
        limits.hold_files = *random.pick(&[0, 2, 25, 25]);
        limits.hold_percent = *random.pick(&[0, 20, 50]);
        let is_emptied = random.coin();
        let rotten_files = *random.pick(&[0, 0, 1, 3]);
        limits.audit_every_ms = *random.pick(&[0, 0, 60_000, 600_000]);
        Options {
            limits,
            machines,
            disks,
            clock_offsets_ms,
            habits,
            actions,
            pause_ms_max,
            is_apart,
            has_rules,
            has_selection: false,
            feed,
            network,
            faults,
            meetings: Meetings::default(),
            is_emptied,
            rotten_files,
        }
    }

    /// Whether programs write to files that they hold open for long.
    pub(crate) fn keeps_files_open(&self) -> bool {
        let mut shares = self.habits.iter().flat_map(|habits| &habits.shares);
        shares.any(|(action, share)| *action == Action::Open && *share > 0)
    }

    /// A world in which nothing goes wrong and nobody does anything by himself.
    pub fn quiet(machines: usize) -> Options {
        let mut random = Random::new(0);
        let limits = draw_limits(&mut random);
        let mut network = draw_network(&mut random, &limits);
        (network.cuts_per_million, network.refusals_per_million) = (0, 0);
        let habits = Habits {
            mark: String::new(),
            shares: Vec::new(),
            content_bytes_max: 100,
            has_rules: false,
            names: Names::Simple,
        };
        Options {
            limits,
            machines,
            disks: vec![DiskConfig::default(); machines],
            clock_offsets_ms: vec![0; machines],
            habits: vec![habits; machines],
            actions: 0,
            pause_ms_max: 0,
            is_apart: false,
            has_rules: false,
            has_selection: false,
            feed: Feed::Push,
            network,
            faults: Faults::default(),
            meetings: Meetings::default(),
            is_emptied: false,
            rotten_files: 0,
        }
    }
}

fn draw_limits(random: &mut Random) -> Limits {
    let (chunk_bytes_min, chunk_bytes_average, chunk_bytes_max) =
        *random.pick(&[(16, 32, 64), (16, 64, 128), (64, 128, 512)]);
    Limits {
        chunk_bytes_min,
        chunk_bytes_average,
        chunk_bytes_max,
        block_bytes_max: *random.pick(&[chunk_bytes_max, 2 * chunk_bytes_max, 1024]),
        block_chunks_max: random.range(1..=8) as usize,
        pack_bytes_target: random.range(200..=4_000),
        // A group cannot be split, and a person can make one of some size.
        commit_operations_max: random.range(24..=60) as usize,
        bundle_bytes_max: random.range(64..=600) as usize,
        bundle_files_max: random.range(1..=6) as usize,
        inline_bytes_max: *random.pick(&[0, 32, 64, 256]),
        feed_entries_max: random.range(1..=8) as usize,
        snapshot_rows_max: random.range(1..=8) as usize,
        chunk_query_max: random.range(1..=8) as usize,
        frame_bytes_max: 64 << 10,
        push_queue_max: random.range(1..=6) as usize,
        reserve_bytes: 2_000,
        // No folder goes away here; that is tested with one client.
        root_check_ms: 1 << 40,
        ..Limits::SHIPPED
    }
}

fn draw_network(random: &mut Random, limits: &Limits) -> NetworkConfig {
    NetworkConfig {
        latency_us_max: *random.pick(&[0, 1_000, 20_000, 300_000]),
        piece_bytes_max: *random.pick(&[64, 1_000, 100_000]),
        cuts_per_million: *random.pick(&[0, 0, 30_000, 250_000]),
        cut_bytes_max: *random.pick(&[200, 3_000]),
        refusals_per_million: *random.pick(&[0, 0, 20_000, 300_000]),
        window_bytes: *random.pick(&[256, 4_096, 100_000]),
        dead_peer_ms: limits.dead_peer_ms,
    }
}

fn draw_faults(random: &mut Random) -> Faults {
    Faults {
        client_kills_per_million: *random.pick(&[0, 0, 0, 1_000, 8_000]),
        client_power_cuts_per_million: *random.pick(&[0, 0, 0, 500, 4_000]),
        server_kills_per_million: *random.pick(&[0, 0, 0, 2_000, 20_000]),
        server_power_cuts_per_million: *random.pick(&[0, 0, 0, 1_000, 10_000]),
        meddling_per_million: *random.pick(&[0, 0, 3_000, 40_000]),
        disk_errors_per_million: *random.pick(&[0, 0, 0, 2_000, 15_000]),
        strikes_every_ms: *random.pick(&[0, 0, 3_000, 20_000]),
        ..Faults::default()
    }
}

fn draw_meetings(random: &mut Random) -> Meetings {
    let meetings = Meetings {
        backup_every_ms: *random.pick(&[300, 2_000, 8_000]),
        restore_every_ms: *random.pick(&[0, 1_000, 5_000, 20_000]),
        state_loss_every_ms: *random.pick(&[0, 0, 1_000, 8_000]),
        collect_every_ms: *random.pick(&[0, 0, 1_000, 8_000]),
        retention_ms: *random.pick(&[0, 500, 5_000, 30_000]),
    };
    match (meetings.restore_every_ms, meetings.state_loss_every_ms, meetings.collect_every_ms) {
        // Nothing comes of nothing.
        (0, 0, 0) => Meetings { restore_every_ms: 3_000, ..meetings },
        _ => meetings,
    }
}

/// Drawn after everything else, so that other worlds are as they were.
fn draw_late_faults(random: &mut Random, faults: Faults) -> Faults {
    let hasty_saves = random.coin();
    let cuts_when_equal_per_million = *random.pick(&[0, 0, 0, 600_000]);
    let meddling_per_million = faults.meddling_per_million.max(if hasty_saves { 3_000 } else { 0 });
    Faults { hasty_saves, cuts_when_equal_per_million, meddling_per_million, ..faults }
}

/// No file is held open for long: what was written to a displaced one comes back when a client starts, and so would hide what came out wrongly.
fn close_files_at_once(habits: Vec<Habits>) -> Vec<Habits> {
    let is_at_once = |action: Action| !matches!(action, Action::Open | Action::WriteOpen);
    let close = |habits: Habits| {
        let shares = habits.shares.into_iter().filter(|(action, _)| is_at_once(*action)).collect();
        Habits { shares, ..habits }
    };
    habits.into_iter().map(close).collect()
}

fn draw_disk(random: &mut Random) -> DiskConfig {
    let shipped = DiskConfig::default();
    DiskConfig {
        has_exchange: random.range(0..=5) > 0,
        has_birth: random.range(0..=3) > 0,
        reuses_inodes: random.coin(),
        write_back_ms: *random.pick(&[200, 5_000, 30_000]),
        watches_max: *random.pick(&[2, 8192, 8192, 8192]),
        hints_queued_max: *random.pick(&[2, 16_384, 16_384]),
        clock_tick_ns: *random.pick(&[1_000, 1_000_000, 4_000_000]),
        ..shipped
    }
}

/// Some machines have disks with limits, and people use names that they bring out.
fn draw_limited(random: &mut Random, options: Options) -> Options {
    let names = *random.pick(&[Names::Cases, Names::Cases, Names::Forms, Names::Odd, Names::All]);
    let disks = options.disks.into_iter().map(|disk| if random.coin() { limit(random, disk) } else { disk }).collect();
    let habits = options.habits.into_iter().map(|habits| Habits { names, ..habits }).collect();
    Options { disks, habits, ..options }
}

fn limit(random: &mut Random, disk: DiskConfig) -> DiskConfig {
    let folding = DiskConfig { is_case_insensitive: true, ..disk.clone() };
    let apple = DiskConfig { is_form_insensitive: true, alphabet: Alphabet::Text, ..folding.clone() };
    let windows =
        DiskConfig { alphabet: Alphabet::Windows, has_executable: false, mtime_granularity_ns: 100, ..folding.clone() };
    let fat = DiskConfig { has_birth: false, mtime_granularity_ns: 2_000_000_000, ..windows.clone() };
    let decomposing = DiskConfig { decomposes_names: true, mtime_granularity_ns: 1_000_000_000, ..apple.clone() };
    let coarse = DiskConfig { mtime_granularity_ns: *random.pick(&[1_000, 10_000_000]), has_executable: false, ..disk };
    let short = DiskConfig { name_bytes_max: 143, ..coarse.clone() };
    random.pick(&[folding.clone(), folding, apple, windows, fat, decomposing, coarse, short]).clone()
}

fn draw_clock_offset(random: &mut Random) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    *random.pick(&[0, 0, 0, 1_500, -90_000, 400 * DAY_MS, -400 * DAY_MS])
}

/// Some kinds of action often, some never.
fn draw_shares(random: &mut Random) -> Vec<(Action, u64)> {
    let mut shares: Vec<_> = Action::ALL.iter().map(|action| (*action, *random.pick(&[0, 1, 1, 2, 6]))).collect();
    // Nothing comes of nothing.
    shares[0].1 = shares[0].1.max(2);
    shares
}

//! The client without its shell: state, executor, transfer, and the loop that drives the engine. No runtime in sight.

mod bounded;
mod call;
mod conflicts;
mod driver;
mod equality;
mod executor;
mod link;
mod own_dir;
mod past;
mod root;
mod safe;
mod state;
mod status;
mod throttle;
mod world;

pub use call::{CallError, join};
pub use conflicts::{Keep, ResolveError};
pub use driver::{Account, Activity, ActivityKind, Client, Ended, Feed, Start, StartError, Verified};
pub use equality::{Checked, Compared, Difference, Differing, VerifiedEqual, Whose};
pub use executor::Executor;
pub use link::{Link, LinkError};
pub use past::{
    BringBackError, ContentError, Past, RewindPlan, Rewound, SafeEntry, SafeOfRoot, restored_name, rewind_groups,
};
pub use root::{Marker, Root, RootError, RootId, marker_of, open_root, prepare_root};
pub use skep_planner::{
    DeletionHold, Found, HoldDecision, HoldId, IgnoreCheck, IgnoreRules, Ignored, Listed, Listing, Location,
    Selectable, TwoVersions,
};
pub use state::{AuditState, SqliteTrees, StateError};
pub use status::{Conflict, PathReport, Pause, Problem, Selection, State, Status, WaitOutcome, Wishes};
pub use throttle::Rates;
pub use world::{Machine, World};

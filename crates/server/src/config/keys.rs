//! Every setting there is: one table from which the file is read, the environment is read, and the reference is written.

use super::values::{self, Durations, Sizes};
use skep_types::product;

/// What may be said with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or directory; in a file of settings it begins at the root.
    Path,
    /// `true` or `false`.
    Switch,
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A time such as `180d`, of so many milliseconds at least.
    Duration(u64),
    /// A size such as `256MiB`.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Addresses and networks such as `127.0.0.1` and `10.0.0.0/8`.
    Networks,
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its whole name, as in the file, sections first.
    pub name: &'static str,
    /// What may be said with it.
    pub kind: Kind,
    /// What holds if nobody says anything; empty: nothing, or what the sentence says.
    pub default: &'static str,
    /// What it does, in a sentence or two.
    pub about: &'static str,
}

/// Every setting, in the order in which people read them.
pub const KEYS: [Key; 25] = [
    Key {
        name: "data_dir",
        kind: Kind::Path,
        default: "",
        about: "Where everything is kept; without it the usual place: /var/lib/skep-server for root, else ~/.local/share/skep-server.",
    },
    Key {
        name: "name",
        kind: Kind::Text,
        default: "",
        about: "What people call this server; without it the machine's own name.",
    },
    Key {
        name: "discovery",
        kind: Kind::Switch,
        default: "true",
        about: "Computers in the same network find this server by multicast DNS, so that `skep join CODE` needs no address.",
    },
    Key {
        name: "key_file",
        kind: Kind::Path,
        default: "",
        about: "The master key by which content is sealed, best on another disk than the content; without it DATA_DIR/keys/master.key. \
                Keep a copy: without it nothing can be read.",
    },
    Key { name: "http.listen", kind: Kind::Text, default: "[::]:7537", about: "Where to listen, as ADDRESS:PORT." },
    Key {
        name: "http.trusted_proxies",
        kind: Kind::Networks,
        default: "",
        about: "Proxies whose X-Forwarded-For is believed, by address or network. Nobody else can say who they are.",
    },
    Key {
        name: "tls.mode",
        kind: Kind::Choice(&["auto", "acme", "off"]),
        default: "auto",
        about: "`auto`: TLS with the own certificate, or with an own key that devices pin; `acme`: with that key and a public certificate, which \
                the server orders and renews; `off`: plain HTTP, for a proxy that does TLS.",
    },
    Key {
        name: "tls.certificate",
        kind: Kind::Path,
        default: "",
        about: "An own certificate with its chain, in PEM. With `tls.mode = \"off\"`: that of the proxy, so that `fingerprint` can print it.",
    },
    Key { name: "tls.key", kind: Kind::Path, default: "", about: "The private key of that certificate, in PEM." },
    Key {
        name: "tls.acme_domain",
        kind: Kind::Text,
        default: "",
        about: "With `tls.mode = \"acme\"`: the name for which certificates are ordered. Port 443 or port 80 of that name must lead to this server.",
    },
    Key { name: "tls.acme_email", kind: Kind::Text, default: "", about: "Where the authority may write to." },
    Key {
        name: "tls.acme_directory",
        kind: Kind::Text,
        default: "https://acme-v02.api.letsencrypt.org/directory",
        about: "The authority that gives certificates; to use it is to agree to its terms.",
    },
    Key {
        name: "tls.acme_roots",
        kind: Kind::Path,
        default: "",
        about: "Root certificates in PEM that vouch for the authority itself, beside those that this machine trusts: for one of your own.",
    },
    Key {
        name: "accounts.classic_ids",
        kind: Kind::Switch,
        default: "false",
        about: "Anyone who reaches the server may make an account, as with --open.",
    },
    Key {
        name: "keep.versions",
        kind: Kind::Duration(values::DAY_MS),
        default: "180d",
        about: "Every version of every file is kept so long after it was replaced.",
    },
    Key {
        name: "keep.trash",
        kind: Kind::Duration(values::DAY_MS),
        default: "90d",
        about: "What was deleted can be brought back so long.",
    },
    Key {
        name: "storage.reserve",
        kind: Kind::Size,
        default: "256MiB",
        about: "So much of the disk is left free: content that would take it is refused with E-NO-SPACE, so that deletions, log-ins and \
                upkeep go on.",
    },
    Key {
        name: "limits.connections",
        kind: Kind::Count(16, 1_000_000),
        default: "16384",
        about: "Connections at a time; more wait.",
    },
    Key {
        name: "limits.connections_per_address",
        kind: Kind::Count(1, 1_000_000),
        default: "4096",
        about: "Connections at a time from one address, or from one half of an IPv6 address; more are refused. Trusted proxies have no such limit.",
    },
    Key {
        name: "log.level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        about: "How much is told on standard error; SKEP_LOG tells it more finely.",
    },
    Key {
        name: "log.format",
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        about: "Lines for people, or one JSON object a line.",
    },
    Key {
        name: "log.connections_keep",
        kind: Kind::Duration(values::DAY_MS),
        default: "90d",
        about: "Lines of the connection log are kept so long in the database.",
    },
    Key {
        name: "metrics.listen",
        kind: Kind::Text,
        default: "",
        about: "Serve /metrics, /readyz and /healthz here too, as plain HTTP to anyone, as ADDRESS:PORT.",
    },
    Key {
        name: "metrics.allow",
        kind: Kind::Networks,
        default: "127.0.0.0/8, ::1",
        about: "Who may ask for /metrics where devices connect, by address or network.",
    },
    Key {
        name: "update.url",
        kind: Kind::Text,
        default: "",
        about: "A list of releases, by HTTPS or as a file, for `skep-server upgrade --check`. The server itself never asks.",
    },
];

impl Key {
    /// The name of this setting in the environment.
    pub fn variable(&self) -> String {
        format!("{}{}", prefix(), self.name.to_uppercase().replace('.', "__"))
    }

    /// Why `text` is nothing that can be said with this key; ends a sentence that begins with the key.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let is_fine = match self.kind {
            Kind::Text | Kind::Path => true,
            Kind::Switch => matches!(text, "true" | "false"),
            Kind::Count(least, most) => text.parse().is_ok_and(|count: u64| (least..=most).contains(&count)),
            Kind::Duration(least) => Durations::parse(text).is_some_and(|length_ms| length_ms >= least),
            Kind::Size => Sizes::parse(text).is_some(),
            Kind::Choice(words) => words.contains(&text),
            Kind::Networks => return values::networks(text).map(drop),
        };
        if is_fine { Ok(()) } else { Err(format!("is {}, not `{text}`", self.wanted())) }
    }

    /// What may be said with this key, in words.
    pub fn wanted(&self) -> String {
        match self.kind {
            Kind::Text => "a text in quotes".into(),
            Kind::Path => "a path in quotes".into(),
            Kind::Switch => "true or false".into(),
            Kind::Count(least, most) => format!("a number from {least} to {most}"),
            Kind::Duration(least) => {
                format!("a time in quotes, such as \"90d\" or \"36h\", of at least {}", Durations::text(least))
            }
            Kind::Size => "a size in quotes, such as \"256MiB\" or \"50GB\"".into(),
            Kind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
            Kind::Networks => {
                "a list of addresses and networks in quotes, such as [\"127.0.0.1\", \"10.0.0.0/8\"]".into()
            }
        }
    }

    /// `text` as it stands in the file.
    pub fn in_file(&self, text: &str) -> String {
        match self.kind {
            Kind::Switch | Kind::Count(..) => text.to_owned(),
            Kind::Networks => {
                let networks = values::words(text).map(|word| format!("{word:?}"));
                format!("[{}]", networks.collect::<Vec<_>>().join(", "))
            }
            Kind::Text | Kind::Path | Kind::Duration(_) | Kind::Size | Kind::Choice(_) => format!("{text:?}"),
        }
    }
}

/// How every name in the environment begins.
pub fn prefix() -> String {
    format!("{}_", product::NAME.to_uppercase())
}

/// The setting of that name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_something_that_may_be_said() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
        assert_eq!(key("http.listen").unwrap().variable(), "SKEP_HTTP__LISTEN");
        assert!(key("http.listen").unwrap().default.ends_with(&product::PORT.to_string()));
    }

    #[test]
    fn the_shipped_reserve_is_the_default_one() {
        let reserve = key("storage.reserve").unwrap().default;
        assert_eq!(Sizes::parse(reserve), Some(skep_types::Limits::SHIPPED.reserve_bytes));
    }

    #[test]
    fn the_shipped_retention_is_the_default_one() {
        let days = |name: &str| Durations::parse(key(name).unwrap().default).unwrap();
        let shipped = skep_service::Retention::SHIPPED;
        assert_eq!(
            [days("keep.versions"), days("keep.trash"), days("log.connections_keep")],
            [shipped.versions_ms, shipped.trash_ms, shipped.connections_ms]
        );
    }
}

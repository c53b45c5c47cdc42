//! Figures in the text format of Prometheus. The format is a dozen lines to write, and a crate for it would bring a registry,
//! labels as maps and locks into every call: the service counts for itself, and only this page turns it into text.

use std::fmt::Write as _;

use skep_service::{Calls, Figures};

use crate::acme::Standing;

/// What is measured when it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Bytes of content on disk.
    pub pack_bytes: Option<u64>,
    /// Bytes that are free on that disk.
    pub disk_free_bytes: Option<u64>,
    /// Bytes of memory that the process holds.
    pub resident_bytes: Option<u64>,
    /// How it stands with the public certificate, if one is ordered.
    pub certificate: Option<Standing>,
}

/// All figures as text.
pub fn text(figures: &Figures, gauges: &Gauges, version: &str) -> String {
    let mut page = Page(String::with_capacity(4096));
    page.family("skep_build_info", "gauge", "Always 1; the version is a label.");
    page.sample("skep_build_info", &[("version", version)], 1);
    page.calls("skep_requests_total", "Requests that have ended, by kind and outcome.", figures, |call| call.count);
    page.calls("skep_request_bytes_total", "Bytes of the bodies of requests.", figures, |call| call.bytes_in);
    page.calls("skep_response_bytes_total", "Bytes of answers.", figures, |call| call.bytes_out);
    page.calls("skep_request_milliseconds_total", "Time that requests took.", figures, |call| call.duration_ms);
    page.one("skep_commits_total", "counter", "Commits that changed something.", Some(figures.commits));
    page.one("skep_entries_total", "counter", "Entries appended to journals.", Some(figures.entries));
    page.one("skep_chunks_received_total", "counter", "Chunks received and kept.", Some(figures.chunks));
    page.one("skep_chunk_bytes_received_total", "counter", "Plain bytes of them.", Some(figures.chunk_bytes));
    page.one("skep_feeds_open", "gauge", "Devices that listen now.", Some(figures.feeds_open));
    page.one("skep_pack_bytes", "gauge", "Bytes of content on disk.", gauges.pack_bytes);
    page.one("skep_disk_free_bytes", "gauge", "Bytes free on the disk of the content.", gauges.disk_free_bytes);
    page.one("process_resident_memory_bytes", "gauge", "Memory that the process holds.", gauges.resident_bytes);
    if let Some(Standing { dates, failure, .. }) = &gauges.certificate {
        let end = dates.and_then(|dates| u64::try_from(dates.end.seconds).ok());
        page.one(
            "skep_certificate_expires_seconds",
            "gauge",
            "When the public certificate ends, as seconds since 1970.",
            end,
        );
        let failures = failure.as_ref().map_or(0, |failure| failure.times);
        page.one(
            "skep_certificate_failures",
            "gauge",
            "Orders that failed since there was a certificate.",
            Some(failures),
        );
    }
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a string cannot fail");
    }

    /// Values of labels come from the program itself: nothing in them needs an escape.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let braced = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "{name}{braced} {value}").expect("writing to a string cannot fail");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn calls(&mut self, name: &str, help: &str, figures: &Figures, value: fn(&Calls) -> u64) {
        self.family(name, "counter", help);
        for ((kind, outcome), call) in &figures.calls {
            self.sample(name, &[("kind", kind), ("outcome", outcome)], value(call));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines_with_their_kind_and_what_is_not_known_is_left_out() {
        let call = Calls { count: 2, bytes_in: 10, bytes_out: 20, duration_ms: 3 };
        let figures = Figures { calls: [(("commit", "ok"), call)].into(), commits: 7, ..Figures::default() };
        let text = text(&figures, &Gauges { pack_bytes: Some(5), ..Gauges::default() }, "1.0");
        for line in [
            "# TYPE skep_requests_total counter",
            "skep_requests_total{kind=\"commit\",outcome=\"ok\"} 2",
            "skep_response_bytes_total{kind=\"commit\",outcome=\"ok\"} 20",
            "skep_commits_total 7",
            "skep_pack_bytes 5",
            "skep_build_info{version=\"1.0\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("skep_disk_free_bytes"));
        assert!(text.ends_with('\n'));
    }
}

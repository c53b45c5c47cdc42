//! QR codes at a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The text as a picture of half blocks, light on dark as most terminals are; `None` if it is too long for one.
pub fn picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_a_small_terminal() {
        let link = "https://[2001:db8:1234:5678:9abc:def0:1234:5678]:65535/join#7Q4K-92MD";
        let lines: Vec<String> = picture(link).unwrap().lines().map(str::to_owned).collect();
        assert!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 60), "{}", lines.len());
        // The quiet border is light, the finder in the corner dark.
        assert!(lines[0].chars().all(|half| half == '█'), "{}", lines[0]);
        assert!(lines[2].trim_start_matches('█').starts_with(' '), "{}", lines[2]);
        assert_eq!(picture(&"x".repeat(4000)), None);
    }
}

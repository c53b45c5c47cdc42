//! Debian packages, by `dpkg-deb`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Program, Texts, tool};
use crate::{cargo, process};

/// Of packages; the programs carry it too.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the package of a program is made.
pub fn path(dist: &Path, program: &Program) -> PathBuf {
    dist.join(format!("{}_{VERSION}_amd64.deb", program.name))
}

/// Makes the package of a program.
pub fn make(dist: &Path, program: &Program, file: &Path, texts: &Texts) -> Result<PathBuf> {
    let root = dist.join(format!("{}-deb", program.name));
    let put = |path: &str, bytes: &[u8], mode: u32| -> Result<()> {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&root))?;
        fs::write(&path, bytes)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
    };
    let ours = |path: &str| fs::read(cargo::root().join(path));
    put(&format!("usr/bin/{}", program.name), &fs::read(file)?, 0o755)?;
    for (path, text) in texts {
        put(path, text, 0o644)?;
    }
    for unit in program.units {
        let unit_bytes = ours(&format!("packaging/systemd/{unit}"))?;
        put(&format!("{}/{unit}", program.unit_directory), &unit_bytes, 0o644)?;
    }
    put(&format!("usr/share/doc/{}/copyright", program.name), &ours("LICENSE-MIT")?, 0o644)?;
    put("DEBIAN/control", control(program, fs::metadata(file)?.len()).as_bytes(), 0o644)?;
    if program.name == "skep-server" {
        put("usr/lib/sysusers.d/skep-server.conf", &ours("packaging/systemd/skep-server.sysusers")?, 0o644)?;
        put("DEBIAN/conffiles", b"/etc/skep/server.toml\n", 0o644)?;
        put("DEBIAN/postinst", &ours("packaging/deb/skep-server.postinst")?, 0o755)?;
        put("DEBIAN/postrm", &ours("packaging/deb/skep-server.postrm")?, 0o755)?;
        put("DEBIAN/prerm", &ours("packaging/deb/skep-server.prerm")?, 0o755)?;
    }
    let made = path(dist, program);
    let mut command = process::command("dpkg-deb")?;
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(&root).arg(&made);
    tool("dpkg-deb", command)?;
    fs::remove_dir_all(&root)?;
    Ok(made)
}

fn control(program: &Program, bytes: u64) -> String {
    let (name, summary, kilobytes) = (program.name, program.summary, bytes.div_ceil(1024));
    format!(
        "Package: {name}\nVersion: {VERSION}\nArchitecture: amd64\nMaintainer: The Skep authors <skep@localhost>\n\
         Section: net\nPriority: optional\nInstalled-Size: {kilobytes}\nDescription: {summary}\n"
    )
}

//! The programs that load images from archives, each with a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::tool::{Process, Tool};

/// A program that needs root. A daemon that `sudo` starts outlives us by some minutes at most.
fn rooted(program: &str, home: &Path) -> Tool {
    match rustix::process::geteuid().is_root() {
        true => Tool::new(program, home),
        false => Tool::new("sudo", home).args(&["-n", "-E", "timeout", "300", program]),
    }
}

/// A running containerd, ended when dropped.
pub(crate) struct Containerd {
    folder: TempDir,
    _process: Process,
}

impl Containerd {
    pub(crate) fn start() -> Containerd {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket")
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let mut process = rooted("containerd", folder.path())
            .args(&["--config", &path("config.toml")])
            .start(&folder.path().join("log"));
        let booted = process.wait_for(|log| log.contains("successfully booted").then_some(()));
        assert!(booted.is_some(), "containerd ended:\n{}", process.said());
        Containerd { folder, _process: process }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn ctr(&self, args: &[&str]) -> Tool {
        rooted("ctr", self.folder.path()).arg("--address").arg(self.socket()).args(args)
    }
}

/// A running docker, ended when dropped.
pub(crate) struct Docker {
    folder: TempDir,
    _process: Process,
    _containerd: Containerd,
}

impl Docker {
    pub(crate) fn start() -> Docker {
        let containerd = Containerd::start();
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut process = rooted("dockerd", folder.path())
            .args(&["--data-root", &path("root"), "--exec-root", &path("exec")])
            .args(&["--pidfile", &path("pid"), "--host", &format!("unix://{}", path("socket"))])
            .args(&["--containerd", containerd.socket().to_str().unwrap()])
            .args(&["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(&["--storage-driver=vfs"])
            .start(&folder.path().join("log"));
        let ready = process.wait_for(|log| log.contains("API listen on").then_some(()));
        assert!(ready.is_some(), "dockerd ended:\n{}", process.said());
        Docker { folder, _process: process, _containerd: containerd }
    }

    pub(crate) fn docker(&self, args: &[&str]) -> Tool {
        let host = format!("unix://{}", self.folder.path().join("socket").display());
        rooted("docker", self.folder.path()).args(&["--host", &host]).args(args)
    }
}

/// Podman with images in a folder of its own.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Podman {
        Podman { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn podman(&self, args: &[&str]) -> Tool {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        rooted("podman", self.folder.path())
            .args(&["--root", &path("root"), "--runroot", &path("run"), "--tmpdir", &path("tmp")])
            .args(&["--storage-driver=vfs"])
            .args(args)
    }
}

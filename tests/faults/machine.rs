use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{KIB, MIB, Scene, each};
use crate::support::{Fault, Output, Run};

const SIZE: u64 = 4 * MIB;

/// The same run by another program, which gets the line that would have been run.
fn through(mut run: Run, program: &str, args: &[&str]) -> Run {
    let mut command = Command::new(program);
    command.args(args).arg(run.command.get_program()).args(run.command.get_args()).env_clear();
    for (name, value) in run.command.get_envs() {
        command.env(name, value.unwrap());
    }
    if let Some(folder) = run.command.get_current_dir() {
        command.current_dir(folder);
    }
    run.command = command;
    run
}

/// The same, after a shell has done `first`.
pub(crate) fn after(run: Run, first: &str) -> Run {
    through(run, "/bin/sh", &["-c", &format!("{first} && exec \"$0\" \"$@\"")])
}

/// The same with mounts of its own. A machine that does not let us cannot run these tests.
pub(super) fn in_namespace(run: Run, first: &str) -> Run {
    through(after(run, first), "/usr/bin/unshare", &["-Urm"])
}

#[track_caller]
fn is_local(output: Output, message: &str) -> Output {
    output.exits(8).prints("").says(message).says("windlass: ")
}

#[test]
fn space_is_asked_for_before_the_first_byte() {
    let scene = Scene::of_size(SIZE);
    let store = scene.windlass.store();
    fs::create_dir(&store).unwrap();
    let mount = format!("mount -t tmpfs -o size=2m none {}", store.display());
    let output = in_namespace(scene.command(&[]), &mount).run();
    is_local(output, "are lacking").says("expected room for ");
    assert_eq!(scene.registry.count(&scene.layer()), 0, "no byte was asked for");
    scene.recovers(SIZE);
}

#[test]
fn store_that_fills_up_is_exit_8_with_what_helps_and_goes_on_later() {
    let scene = Scene::of_size(SIZE);
    scene.registry.fail_always(&scene.layer(), Fault::Throttle { bytes_per_second: 2 * MIB });
    let store = scene.windlass.store();
    fs::create_dir(&store).unwrap();
    let kept = scene.windlass.scratch.text("kept");
    // Somebody else eats the space while the layer comes; what is there at the end is taken out
    // of the namespace.
    let script = format!(
        "mount -t tmpfs -o size=5m none {store} || exit 99
        (until [ -s {store}/.windlass/partial/*.json ]; do sleep 0.05; done
        head -c 3m /dev/zero > {store}/eater) 2>/dev/null &
        \"$0\" \"$@\"; code=$?; wait; cp -a {store} {kept}; exit $code",
        store = store.display()
    );
    let run = through(scene.command(&["--jobs=1"]), "/bin/sh", &["-c", &script]);
    let run = through(run, "/usr/bin/unshare", &["-Urm"]);
    let output = is_local(run.run(), "no space left on device");
    output.says(&store.display().to_string()).says("help: make room; ");
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&kept, &store).unwrap();
    fs::remove_file(store.join("eater")).unwrap();
    let kept = scene.kept();
    assert!(kept >= 256 * KIB, "{kept} bytes were kept");
    scene.recovers(SIZE - kept);
}

#[test]
fn limit_of_file_sizes_is_exit_8_and_no_signal() {
    // In blocks of 512 bytes.
    each(&[(0, 0), (8, 0), (2048, 512 * KIB)], |&(blocks, least)| {
        let scene = Scene::of_size(SIZE);
        let output = after(scene.command(&["--jobs=1"]), &format!("ulimit -f {blocks}")).run();
        let store = scene.windlass.store();
        is_local(output, "file too large").says(&store.display().to_string());
        scene.is_whole();
        let kept = scene.kept();
        assert!(kept >= least, "{kept} bytes were kept");
        scene.recovers(SIZE - kept);
    });
}

#[test]
fn few_open_files_suffice_or_are_told() {
    each(&[8, 10, 12, 14, 16, 20, 30], |&files| {
        let layers = (1..=12).fold(crate::support::ImageBuilder::new(), |image, seed| {
            image.layer_random(seed, 100_000 + seed)
        });
        let scene = Scene::of(layers.build());
        let output = after(scene.command(&[]), &format!("ulimit -n {files}")).run();
        scene.is_whole();
        match output.status() {
            0 => scene.holds(),
            _ => drop(is_local(output, "too many open files")),
        }
        scene.registry.recover();
        scene.succeeds(&[]);
    });
}

#[test]
fn twenty_open_files_suffice_for_two_connections() {
    let scene = Scene::of_size(SIZE);
    after(scene.command(&["--jobs=2"]), "ulimit -n 20").run().success();
    scene.holds();
}

#[test]
fn store_path_that_is_no_folder_is_exit_8_before_the_network() {
    let scene = Scene::of_size(SIZE);
    let store = scene.windlass.scratch.write("store", "a file");
    let output = is_local(scene.pull(&[]), &store.display().to_string());
    assert_eq!(scene.registry.requests().len(), 0, "nothing was asked\n{output}");
    fs::remove_file(&store).unwrap();
    scene.recovers(SIZE);
    // Below a file.
    let below = scene.windlass.scratch.write("file", "x").join("store");
    let below = below.to_str().unwrap();
    scene.registry.forget();
    is_local(scene.pull(&["--store", below]), below);
    assert_eq!(scene.registry.requests().len(), 0, "nothing was asked");
}

fn as_nobody(scene: &Scene) -> Run {
    // Nobody may not look into the folder where the program was built.
    let mut run = scene.command(&[]);
    let copy = scene.windlass.scratch.join("program");
    fs::copy(run.command.get_program(), &copy).unwrap();
    let home = scene.windlass.scratch.path();
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command.args(run.command.get_args()).current_dir(home);
    for (name, value) in run.command.get_envs() {
        command.env(name, value.unwrap());
    }
    run.command = command;
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    through(run, "/usr/bin/setpriv", &nobody)
}

#[test]
fn store_that_may_not_be_written_is_exit_8_before_the_network() {
    let scene = Scene::of_size(SIZE);
    let store = scene.windlass.store();
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let run = if is_root { as_nobody(&scene) } else { scene.command(&[]) };
    let output = run.run();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    is_local(output, "permission denied").says(&store.display().to_string());
    assert_eq!(scene.registry.requests().len(), 0, "nothing was asked");
    scene.recovers(SIZE);
}

#[test]
fn read_only_store_is_exit_8_before_the_network_and_can_be_read() {
    for filled in [false, true] {
        let scene = Scene::of_size(SIZE);
        let store = scene.windlass.store();
        fs::create_dir(&store).unwrap();
        if filled {
            let other = scene.registry.push(&crate::support::Image::small(), "other:1");
            scene.windlass.run(&["pull", &other]).success();
        }
        scene.registry.forget();
        let store = store.display();
        let mount = format!("mount --bind {store} {store} && mount -o remount,bind,ro {store}");
        let output = in_namespace(scene.command(&[]), &mount).run();
        is_local(output, "read-only file system").says(&store.to_string());
        assert_eq!(scene.registry.requests().len(), 0, "nothing was asked");
        let list = in_namespace(scene.windlass.command(&["list"]), &mount);
        let output = list.run().success();
        assert_eq!(output.stdout().contains("other"), filled, "{output}");
        scene.recovers(SIZE);
    }
}

#[test]
fn full_disk_says_how_much_is_wanted_whatever_is_written() {
    let scene = Scene::of_size(KIB);
    scene.succeeds(&[]);
    let (store, kept) = (scene.windlass.store(), scene.windlass.scratch.text("kept"));
    fs::rename(&store, &kept).unwrap();
    fs::create_dir(&store).unwrap();
    let store = store.display();
    let full = format!(
        "mount -t tmpfs -o size=2m none {store} && cp -a {kept}/. {store}
        && (cat /dev/zero > {store}/eater 2>/dev/null || true)"
    )
    .replace('\n', " ");
    let index = scene.windlass.command(&["tag", &scene.name, "other"]);
    for (run, place) in [(index, "/.windlass/tmp/"), (scene.command(&[]), "/lock/lease/")] {
        let output = is_local(in_namespace(run, &full).run(), "no space left on device: room for ");
        output.says(" more bytes is needed").says(place).says("help: make room");
    }
}

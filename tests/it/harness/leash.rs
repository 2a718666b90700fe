//! Ends a child process when this process ends, however it does: statics are never dropped, and a killed process drops
//! nothing.
//!
//! A shell holds the other end of a pipe from here. When the pipe closes without a word (the kernel does that), the shell
//! kills the child and removes its files.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `$0` is the child's process, `$1` the directory of its files. The directory above goes too, where it is empty then;
/// the child may still write for a moment.
const HOLD: &str = r#"
    read -r _ && exit
    kill -KILL "$0"
    for _ in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 0.1; done
    rmdir -- "${1%/*}"
"#;

/// Holds a child process.
pub struct Leash(Child);

impl Leash {
    /// From now on, `child` does not outlive this process, nor do its files in `directory`.
    pub fn hold(child: &Child, directory: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", HOLD, &child.id().to_string()]).arg(directory);
        // Of a group of its own, so that what ends this process's group (Ctrl-C) leaves it be.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("a shell starts"))
    }

    /// To be said when the child has ended and has been waited for: its number may be another process's soon.
    pub fn release(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b"released\n");
        }
        let _ = self.0.wait();
    }
}

impl Drop for Leash {
    /// Without a release, the child ends now.
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn a_closed_pipe_ends_the_child_and_removes_its_files() {
        let parent = tempfile::tempdir().unwrap().keep();
        let directory = parent.join("data");
        std::fs::create_dir_all(directory.join("deeper")).unwrap();
        let mut child = sleeper();
        drop(Leash::hold(&child, &directory));
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert!(!parent.exists());
    }

    #[test]
    fn a_release_leaves_alone_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = sleeper();
        Leash::hold(&child, directory.path()).release();
        assert!(child.try_wait().unwrap().is_none() && directory.path().exists());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

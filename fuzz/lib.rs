//! Fuzz targets: one function of a `hostile` module each, run by libFuzzer.
//!
//! Invariant: a target holds no promise of its own; what must hold is asserted in `hostile`, which unit tests replay.

/// Runs `target`, which may catch panics on the way: only one that leaves it is a finding.
///
/// libFuzzer's own hook would end the process at a panic that the server catches and answers.
#[cfg(feature = "libfuzzer")]
pub fn held(target: impl FnOnce() + std::panic::UnwindSafe) {
    use std::sync::{Mutex, Once};
    static HOOK: Once = Once::new();
    static LAST: Mutex<String> = Mutex::new(String::new());
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if let Ok(mut last) = LAST.lock() {
                *last = panic.to_string();
            }
        }));
    });
    if std::panic::catch_unwind(target).is_err() {
        let told = LAST.lock().map(|last| last.clone()).unwrap_or_default();
        let _ = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
        std::process::abort();
    }
}

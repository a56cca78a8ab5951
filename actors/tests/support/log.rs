//! The log of the tests.

use super::*;

/// Lines of the log, each `message key=value …`.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    /// Waits until at least `count` lines contain the text, and returns them.
    pub fn wait_for(&self, text: &str, count: usize) -> Vec<String> {
        let having = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| line.contains(text)).cloned().collect()
        };
        let lines = self.0.0.lock().unwrap();
        let (lines, _) =
            self.0.1.wait_timeout_while(lines, PATIENCE, |lines| having(lines).len() < count).unwrap();
        let (found, all) = (having(&lines), lines.clone());
        drop(lines);
        assert!(found.len() >= count, "{count} lines with {text:?} in {all:#?}");
        found
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        struct Pairs(Vec<String>);
        impl Serializer for Pairs {
            fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
                self.0.push(format!("{key}={value}"));
                Ok(())
            }
        }
        let mut pairs = Pairs(Vec::new());
        record.kv().serialize(record, &mut pairs).unwrap();
        // slog gives the last pair first.
        pairs.0.push(record.msg().to_string());
        pairs.0.reverse();
        self.0.0.lock().unwrap().push(pairs.0.join(" "));
        self.0.1.notify_all();
        Ok(())
    }
}

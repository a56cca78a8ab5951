//! The folders in which a change may put another file behind a path.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Links in one path before it counts as a circle, as the kernel has it.
const MAX_LINKS: usize = 40;

/// Lists the folder that has the file, and those that have the symbolic links on the way to it: Kubernetes and git-sync
/// replace such a link. Where a part of the path is missing, the folder that lacks it is the last.
pub(super) fn of(path: &Path) -> Vec<PathBuf> {
    let Ok(path) = std::path::absolute(path) else { return Vec::new() };
    let mut folders = Vec::new();
    let mut rest = parts(&path);
    let (mut folder, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            folder.pop();
            continue;
        }
        let next = folder.join(&part);
        let target = next.read_link().ok().filter(|_| links < MAX_LINKS);
        let is_last = rest.is_empty() || !next.exists();
        if target.is_some() || is_last {
            folders.push(folder.clone());
        }
        match target {
            Some(target) => {
                links += 1;
                if target.is_absolute() {
                    folder = PathBuf::from("/");
                }
                rest = parts(&target).into_iter().chain(rest).collect();
            }
            None if is_last => break,
            None => folder = next,
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

/// The names in a path, without the root and what means the same folder.
fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_on_the_way_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("rules/..2026")).unwrap();
        fs::write(root.join("rules/..2026/a.conf"), "").unwrap();
        symlink("..2026", root.join("rules/..data")).unwrap();
        symlink("..data/a.conf", root.join("rules/a.conf")).unwrap();
        symlink("rules", root.join("current")).unwrap();
        let expected =
            ["", "rules", "rules/..2026"].map(|name| root.join(name).components().collect::<PathBuf>());
        assert_eq!(of(&root.join("current/a.conf")), expected);
        assert_eq!(of(&root.join("current/../rules/a.conf")), expected);
        // What is not there yet.
        assert_eq!(of(&root.join("rules/none/b.conf")), [root.join("rules")]);
        // A circle.
        symlink("circle", root.join("circle")).unwrap();
        assert_eq!(of(&root.join("circle")), [root]);
    }
}

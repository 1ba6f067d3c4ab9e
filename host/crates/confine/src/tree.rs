//! Pieces of a file system, held by descriptors: opened once, checked, and put where they belong.

use crate::failure::Failure;
use crate::mounts::OLD;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree,
};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A mount that is nowhere yet.
pub(crate) struct Tree {
    mount: OwnedFd,
    is_directory: bool,
}

impl Tree {
    pub(crate) fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Puts it over what `target` has opened.
    pub(crate) fn put_at(self, target: &OwnedFd) -> Result<(), Failure> {
        let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.mount, "", target, "", empty).map_err(|error| Failure::of("move_mount", error))
    }

    /// Puts it over a path of this process' own.
    pub(crate) fn put(self, target: &Path) -> Result<(), Failure> {
        let moved = move_mount(&self.mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
        moved.map_err(|error| Failure::of(target.display(), error))
    }
}

/// A regular file or a directory of the machine, with what is mounted below it. No part of the path may be a link.
///
/// # Errors
/// When there is nothing, or a link, or something else: sockets and devices are never bound.
pub(crate) fn of(path: &Path) -> Result<Tree, Failure> {
    let (place, kind) = open(path)?;
    match kind {
        FileType::RegularFile => clone(&place, path, false),
        FileType::Directory => clone(&place, path, true),
        _ => Err(format!("{}: neither a regular file nor a directory", path.display()).into()),
    }
}

/// One of the fixed devices.
pub(crate) fn device(path: &Path) -> Result<Tree, Failure> {
    let (place, kind) = open(path)?;
    match kind {
        FileType::CharacterDevice => clone(&place, path, false),
        _ => Err(format!("{}: not a device", path.display()).into()),
    }
}

fn open(path: &Path) -> Result<(OwnedFd, FileType), Failure> {
    let failed = |error: Errno| match error {
        Errno::LOOP => Failure::from(format!("{}: a link has come to be on the way", path.display())),
        error => Failure::of(path.display(), error),
    };
    let old =
        openat2(CWD, OLD, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty()).map_err(failed)?;
    let inside = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
    let place = openat2(&old, relative(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside).map_err(failed)?;
    let kind = FileType::from_raw_mode(fstat(&place).map_err(failed)?.st_mode);
    Ok((place, kind))
}

fn clone(place: &OwnedFd, path: &Path, is_directory: bool) -> Result<Tree, Failure> {
    // With what is mounted below: the kernel refuses to take a directory out of a tree that it got as a whole.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(place, "", flags).map_err(|error| Failure::of(path.display(), error))?;
    Ok(Tree { mount, is_directory })
}

/// An empty directory in memory.
pub(crate) fn in_memory(options: &str) -> Result<Tree, Failure> {
    made("tmpfs", options)
}

/// A file system of the kernel's. `options` are `name=value`, separated by commas.
pub(crate) fn made(kind: &str, options: &str) -> Result<Tree, Failure> {
    let failed = |error: Errno| Failure::of(kind, error);
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
    for (name, value) in options.split(',').filter_map(|option| option.split_once('=')) {
        fsconfig_set_string(context.as_fd(), name, value).map_err(failed)?;
    }
    fsconfig_create(context.as_fd()).map_err(failed)?;
    // What each mount may be used for is decided when all of them are sealed.
    let attributes = MountAttrFlags::empty();
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)?;
    Ok(Tree { mount, is_directory: true })
}

/// An empty file. There is one, in the base, which goes with it.
pub(crate) fn empty_file() -> Result<Tree, Failure> {
    const NOTHING: &str = "/nothing";
    let failed = |error: std::io::Error| Failure::of("an empty file", error);
    let file = File::options().create(true).append(true).open(NOTHING).map_err(failed)?;
    clone(&file.into(), Path::new(NOTHING), false)
}

/// The new root, while it is made.
pub(crate) struct Root(OwnedFd);

impl Root {
    pub(crate) fn open(path: &str) -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::empty());
        opened.map(Self).map_err(|error| Failure::of(path, error))
    }

    /// Opens what is at `path`. A link on the way is an error: it may have been made by a package.
    fn at(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let inside = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
        openat2(&self.0, relative(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside)
    }

    /// What is there, and whether it is a directory. `None` where nothing is that could be covered.
    pub(crate) fn find(&self, path: &Path) -> Option<(OwnedFd, bool)> {
        let place = self.at(path).ok()?;
        let kind = FileType::from_raw_mode(fstat(&place).ok()?.st_mode);
        Some((place, kind == FileType::Directory))
    }

    pub(crate) fn is_link(&self, path: &Path) -> bool {
        matches!(self.at(path), Err(Errno::LOOP))
    }

    /// Sees to it that there is something to mount over.
    pub(crate) fn point(&self, path: &Path, is_directory: bool) -> Result<OwnedFd, Failure> {
        if is_directory {
            return self.directory(path);
        }
        let parent = self.parent(path)?;
        let name = path.file_name().ok_or_else(|| format!("{} is not a file", path.display()))?;
        let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match self.at(path) {
            Ok(place) => Ok(place),
            Err(Errno::NOENT) => {
                let mode = Mode::from_raw_mode(0o644);
                let made = openat2(&parent, name, flags, mode, ResolveFlags::NO_SYMLINKS);
                made.map_err(|error| Failure::of(path.display(), error))
            }
            Err(error) => Err(Failure::of(path.display(), error)),
        }
    }

    /// The directory a path is in, made where it is not there.
    pub(crate) fn parent(&self, path: &Path) -> Result<OwnedFd, Failure> {
        self.directory(path.parent().unwrap_or(Path::new("/")))
    }

    /// A directory, made with all above it where they are not there.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, Failure> {
        let mut so_far = PathBuf::from("/");
        for name in path.iter().skip(1) {
            let above = self.at(&so_far).map_err(|error| Failure::of(so_far.display(), error))?;
            so_far.push(name);
            match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                // Where nothing can be made, it is enough that something is there.
                Err(_) if self.at(&so_far).is_ok() => {}
                Err(error) => return Err(Failure::of(so_far.display(), error)),
            }
        }
        self.at(path).map_err(|error| Failure::of(path.display(), error))
    }
}

/// A path as seen from the base.
pub(crate) fn under(root: &str, path: &Path) -> PathBuf {
    Path::new(root).join(relative(path))
}

fn relative(path: &Path) -> &Path {
    match path.strip_prefix("/") {
        Ok(rest) if rest.as_os_str().is_empty() => Path::new("."),
        Ok(rest) => rest,
        Err(_) => path,
    }
}

//! The system calls a confined program does without.
//!
//! What is refused is what has no use for a provider, or leads around one of the other walls; the list is of what is
//! refused and not of what is allowed, since nobody knows what the runtime of a provider needs.

use crate::failure::Failure;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refused whatever their arguments are.
const REFUSED: &[i64] = &[
    // A second interface to most of the kernel, which no filter sees into.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes' memory, descriptors and threads.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    // Programs in the kernel, and the kernel itself.
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // The machine's keys.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Files and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[libc::SYS_kexec_file_load, libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Calls of the x32 mode, in which the same kernel can be called by other numbers: the same ones with this bit, and
/// `ioctl`, `ptrace`, `process_vm_*` and `kexec_load` by numbers of their own.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const REFUSED_IN_X32: &[i64] = &[X32 + 514, X32 + 521, X32 + 528, X32 + 539, X32 + 540];

/// Memory without a name that stays when no process has it in its map: of use to some, and counted by nobody but a
/// control group. Who is told that the kernel lacks it does without.
const NAMELESS: &[i64] = &[libc::SYS_memfd_create, libc::SYS_shmget];

/// Puts the filter up, for this process and all it starts. With a network of its own, a process makes no sockets but of
/// the local and the stream kind. Where no control group counts all memory (`counted`), it makes none that only one would
/// count.
pub(crate) fn filter(own_network: bool, counted: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::from(format!("system call filter: {error}"));
    let filters = filters(own_network, counted).map_err(|error| failed(&error))?;
    filters.iter().try_for_each(|filter| apply_filter(filter)).map_err(|error| failed(&error))
}

fn filters(own_network: bool, counted: bool) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = |rules: Rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        let refuse = SeccompAction::Errno(errno.cast_unsigned());
        SeccompFilter::new(in_every_mode(rules), SeccompAction::Allow, refuse, arch)?.try_into()
    };
    // The flags of clone3 are in memory, where no filter can look at them; everybody can do with the older call.
    let mut absent: Rules = [(libc::SYS_clone3, Vec::new()), (libc::SYS_memfd_secret, Vec::new())].into();
    if !counted {
        absent.extend(NAMELESS.iter().map(|call| (*call, Vec::new())));
    }
    let mut refused: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    refused.insert(libc::SYS_clone, namespaces()?);
    refused.insert(libc::SYS_ioctl, terminals()?);
    if own_network {
        refused.insert(libc::SYS_socket, sockets()?);
    }
    Ok([filter(absent, libc::ENOSYS)?, filter(refused, libc::EPERM)?])
}

#[cfg(target_arch = "x86_64")]
fn in_every_mode(rules: Rules) -> Rules {
    let twin = rules.clone().into_iter().map(|(call, rule)| (call + X32, rule));
    let apart = REFUSED_IN_X32.iter().map(|call| (*call, Vec::new()));
    let more: Rules = twin.chain(apart).collect();
    rules.into_iter().chain(more).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn in_every_mode(rules: Rules) -> Rules {
    rules
}

fn condition(argument: u8, is: SeccompCmpOp, value: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, u64::from(value.cast_unsigned()))
}

/// `clone` into a new namespace, of whatever kind.
fn namespaces() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let kinds = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWCGROUP,
    ];
    let rule = |kind: i32| {
        let bit = u64::from(kind.cast_unsigned());
        SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(bit), kind)?])
    };
    kinds.into_iter().map(rule).collect()
}

/// Typing into a terminal that somebody else reads from.
fn terminals() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    // TIOCSTI, TIOCLINUX
    let rule = |request| SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, request)?]);
    [0x5412, 0x541c].into_iter().map(rule).collect()
}

/// Every socket but those of the local family, and streams of the two internet families over TCP: no datagrams, no raw
/// packets, no MPTCP and SCTP, and none of the families with which one talks to the kernel, to a hypervisor or to devices.
fn sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    /// Without the flags that may be set beside it.
    const KIND: u64 = 0xf;
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let mut rules =
        vec![SeccompRule::new(families.into_iter().map(|f| condition(0, Ne, f)).collect::<Result<_, _>>()?)?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let this = condition(0, Eq, family)?;
        for kind in (0..=15).filter(|kind| *kind != libc::SOCK_STREAM) {
            rules.push(SeccompRule::new(vec![this.clone(), condition(1, MaskedEq(KIND), kind)?])?);
        }
        let other = [0, libc::IPPROTO_TCP].map(|protocol| condition(2, Ne, protocol));
        let conditions = std::iter::once(Ok(this)).chain(other).collect::<Result<_, _>>()?;
        rules.push(SeccompRule::new(conditions)?);
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use rustix::net::{AddressFamily, Protocol, SocketType, socket};

    /// A filter belongs to a thread: one of the tests' own can be confined without the others.
    fn confined<T: Send + 'static>(own_network: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
        let confined = move || {
            promise();
            filter(own_network, true).unwrap();
            work()
        };
        std::thread::spawn(confined).join().unwrap()
    }

    fn promise() {
        nix::sys::prctl::set_no_new_privs().unwrap();
    }

    fn may(family: AddressFamily, kind: SocketType, protocol: u32) -> bool {
        let protocol = std::num::NonZeroU32::new(protocol).map(Protocol::from_raw);
        match socket(family, kind, protocol) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::PERM, "{family:?} {kind:?} {protocol:?}");
                false
            }
        }
    }

    #[test]
    fn n03_n07_sockets() {
        const MPTCP: u32 = 262;
        const SCTP: u32 = 132;
        let seen = confined(true, || {
            use AddressFamily as F;
            use SocketType as T;
            [
                (F::UNIX, T::STREAM, 0, true),
                (F::UNIX, T::DGRAM, 0, true),
                (F::INET, T::STREAM, 0, true),
                (F::INET6, T::STREAM, 6, true),
                (F::INET, T::STREAM, MPTCP, false),
                (F::INET6, T::STREAM, MPTCP, false),
                (F::INET, T::STREAM, SCTP, false),
                (F::INET, T::DGRAM, 0, false),
                (F::INET6, T::DGRAM, 17, false),
                (F::INET, T::RAW, 1, false),
                (F::INET, T::SEQPACKET, SCTP, false),
                (F::NETLINK, T::RAW, 0, false),
                (F::PACKET, T::RAW, 0, false),
                (F::from_raw(38), T::SEQPACKET, 0, false),
                (F::from_raw(40), T::STREAM, 0, false),
                (F::from_raw(44), T::RAW, 0, false),
            ]
            .map(|(family, kind, protocol, expect)| (family, kind, protocol, expect, may(family, kind, protocol)))
        });
        for (family, kind, protocol, expect, seen) in seen {
            assert_eq!(seen, expect, "{family:?} {kind:?} {protocol}");
        }
    }

    #[test]
    fn n19_namespaces_and_what_is_left() {
        let refused = confined(false, || {
            let left = std::thread::spawn(|| 1).join().unwrap()
                + i32::from(std::process::Command::new("/bin/true").status().unwrap().success());
            assert_eq!(left, 2, "threads and processes are");
            [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWNS].map(unshare)
        });
        assert_eq!(refused, [Err(nix::Error::EPERM); 3]);
        assert!(confined(false, || may(AddressFamily::INET, SocketType::DGRAM, 0)), "without a network of its own");
    }

    #[test]
    fn nameless_memory_is_made_only_where_it_is_counted() {
        let make = |counted: bool| {
            let confined = move || {
                promise();
                filter(true, counted).unwrap();
                rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).err()
            };
            std::thread::spawn(confined).join().unwrap()
        };
        assert_eq!(make(true), None);
        assert_eq!(make(false), Some(rustix::io::Errno::NOSYS));
    }
}

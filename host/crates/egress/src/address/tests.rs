use super::*;
use gestalt_core::egress::Rules;
use gestalt_core::host::HostPattern;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Rows of address and the classes it is of, without NAT64.
#[test]
fn d08_classes() {
    let (never, link, special, private) = (Classes::NEVER, Classes::LINK, Classes::SPECIAL, Classes::PRIVATE);
    let metadata = link | special;
    for (text, expect) in [
        ("0.0.0.0", never),
        ("0.1.2.3", never),
        ("224.0.0.1", never),
        ("239.255.255.255", never),
        ("240.0.0.1", never),
        ("255.255.255.255", never),
        ("::", never),
        ("ff02::1", never),
        ("127.0.0.1", special),
        ("127.255.255.254", special),
        ("::1", special),
        ("169.254.169.254", metadata),
        ("169.254.0.1", metadata),
        ("100.100.100.200", metadata),
        ("168.63.129.16", metadata),
        ("fe80::1", metadata),
        ("febf::1", metadata),
        ("fd00:ec2::254", metadata),
        ("fd20:ce::254", metadata),
        ("fec0::1", special),
        ("192.0.0.1", special),
        ("192.0.2.1", special),
        ("192.88.99.1", special),
        ("198.18.0.1", special),
        ("198.19.255.255", special),
        ("198.51.100.7", special),
        ("203.0.113.7", special),
        ("2001:db8::1", special),
        ("3fff::1", special),
        ("2001:20::1", special),
        ("::ffff:8.8.8.8", special),
        ("::8.8.8.8", special),
        ("64:ff9b::8.8.8.8", special),
        ("64:ff9b:1::8.8.8.8", metadata),
        ("64:ff9b:1:a9fe:a9:fe00::", metadata),
        ("192.0.0.192", metadata),
        ("fd00:42::42", metadata),
        ("fd00:42::43", private),
        ("::ffff:127.0.0.1", special),
        ("::127.0.0.1", special),
        ("64:ff9b::127.0.0.1", special),
        ("2002:7f00:1::", special),
        ("2001:0:1234::80ff:fffe", special),
        ("2002:0808:0808::1", special),
        ("100::1", special),
        ("4000::1", special),
        ("::ffff:0.0.0.0", special | never),
        ("::ffff:10.0.0.1", special | private),
        ("::ffff:169.254.169.254", metadata),
        ("::169.254.169.254", metadata),
        ("64:ff9b::169.254.169.254", metadata),
        ("2002:a9fe:a9fe::1", metadata),
        // Teredo to 169.254.169.254, inverted
        ("2001:0:1234::5601:5601", metadata),
        ("10.0.0.1", private),
        ("172.16.0.1", private),
        ("172.31.255.255", private),
        ("192.168.1.1", private),
        ("100.64.0.1", private),
        ("100.127.255.255", private),
        ("fc00::1", private),
        ("fdff::1", private),
        ("172.15.0.1", Classes::PUBLIC),
        ("172.32.0.1", Classes::PUBLIC),
        ("192.0.1.1", Classes::PUBLIC),
        ("100.128.0.1", Classes::PUBLIC),
        ("93.184.216.34", Classes::PUBLIC),
        ("2606:4700::1", Classes::PUBLIC),
        ("2a00:1450::1", Classes::PUBLIC),
        ("2001:4860::8888", Classes::PUBLIC),
    ] {
        assert_eq!(Classes::of(ip(text), false), expect, "{text}");
    }
}

#[test]
fn d08_nat64_is_judged_by_what_it_carries() {
    assert_eq!(Classes::of(ip("64:ff9b::8.8.8.8"), true), Classes::PUBLIC);
    assert_eq!(Classes::of(ip("64:ff9b::10.0.0.1"), true), Classes::PRIVATE);
    assert_eq!(Classes::of(ip("64:ff9b::169.254.169.254"), true), Classes::LINK | Classes::SPECIAL);
    assert_eq!(Classes::of(ip("64:ff9b:1::8.8.8.8"), true), Classes::LINK | Classes::SPECIAL);
}

struct Case {
    private: Action,
    networks: &'static [&'static str],
    entry: Option<&'static str>,
    host: &'static str,
}

impl Case {
    fn check(&self, address: &str, port: u16, expect: Result<(), DenyReason>) {
        let networks = self.networks.iter().map(|text| AllowedNetwork::parse(text).unwrap()).collect();
        let listeners = Arc::new(SelfListeners::default());
        listeners.add("127.0.0.1:9090".parse().unwrap());
        let guard = Guard::new(self.private, networks, false, listeners);
        let host = Host::parse(self.host).unwrap();
        let list: Vec<_> = self.entry.iter().map(|text| HostPattern::parse(text).unwrap()).collect();
        let grant = crate::Policy::new(&Rules::allowing(list).allowed, Action::Allow).check(&host).unwrap();
        let verdict = guard.judge_all(&host, grant, &[ip(address)], port);
        assert_eq!(verdict.map_err(|refusal| refusal.reason.unwrap()), expect, "{} -> {address}:{port}", self.host);
    }
}

const PROHIBITED: Result<(), DenyReason> = Err(DenyReason::AddressProhibited);

#[test]
fn a_listed_name_reaches_public_addresses_only() {
    let case = Case { private: Action::Deny, networks: &[], entry: Some("*.wild.test"), host: "a.wild.test" };
    case.check("93.184.216.34", 443, Ok(()));
    for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "fd12::1", "::1", "::ffff:8.8.8.8"] {
        case.check(address, 443, PROHIBITED);
    }
}

#[test]
fn private_networks_lifts_private_and_nothing_else() {
    let case = Case { private: Action::Allow, networks: &[], entry: Some("a.test"), host: "a.test" };
    case.check("10.0.0.1", 443, Ok(()));
    case.check("fd12::1", 443, Ok(()));
    for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "fd00:ec2::254"]
    {
        case.check(address, 443, PROHIBITED);
    }
}

#[test]
fn d11_an_allowed_network_lifts_its_own_port() {
    let case = Case {
        private: Action::Deny,
        networks: &["127.0.0.0/8:8080", "10.0.0.0/8", "0.0.0.0/0:9", "127.0.0.1:9090"],
        entry: Some("a.test"),
        host: "a.test",
    };
    case.check("127.0.0.1", 8080, Ok(()));
    case.check("127.0.0.1", 8081, PROHIBITED);
    case.check("10.1.1.1", 8081, Ok(()));
    case.check("0.0.0.0", 9, PROHIBITED);
    case.check("127.0.0.1", 9090, Err(DenyReason::SelfListener));
}

#[test]
fn exact_entries_lift_their_own_addresses() {
    let loopback = Case { private: Action::Deny, networks: &[], entry: Some("127.0.0.1"), host: "127.0.0.1" };
    loopback.check("127.0.0.1", 8080, Ok(()));
    loopback.check("127.0.0.1", 9090, Err(DenyReason::SelfListener));
    let metadata =
        Case { private: Action::Deny, networks: &[], entry: Some("169.254.169.254"), host: "169.254.169.254" };
    metadata.check("169.254.169.254", 80, Ok(()));
    let never = Case { private: Action::Deny, networks: &[], entry: Some("0.0.0.0"), host: "0.0.0.0" };
    never.check("0.0.0.0", 80, PROHIBITED);
    for entry in ["localhost", "*.localhost"] {
        let host = entry.strip_prefix("*").map_or("localhost", |_| "a.localhost");
        let case = Case { private: Action::Deny, networks: &[], entry: Some(entry), host };
        case.check("127.0.0.1", 8080, Ok(()));
        case.check("::1", 8080, Ok(()));
    }
}

#[test]
fn an_open_app_is_kept_from_metadata_and_from_the_daemon() {
    let case = Case { private: Action::Deny, networks: &[], entry: None, host: "a.test" };
    for address in ["93.184.216.34", "10.0.0.1", "127.0.0.1", "::1", "fd12::1", "198.18.0.1"] {
        case.check(address, 443, Ok(()));
    }
    for address in [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "ff02::1",
        "100.100.100.200",
    ] {
        case.check(address, 443, PROHIBITED);
    }
    case.check("127.0.0.1", 9090, Err(DenyReason::SelfListener));
    for home in ["::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2001:0:1234::80ff:fffe"] {
        case.check(home, 9090, Err(DenyReason::SelfListener));
        case.check(home, 9091, Ok(()));
    }
}

#[test]
fn one_prohibited_address_spoils_the_answer() {
    let guard = Guard::new(Action::Deny, Vec::new(), false, Arc::default());
    let host = Host::parse("a.test").unwrap();
    let refusal = guard.judge_all(&host, Grant::Exact, &[ip("93.184.216.34"), ip("10.0.0.7")], 443).unwrap_err();
    assert_eq!(refusal.remedy.as_deref(), Some("server.egress.allowedNetworks: [\"10.0.0.7/32:443\"]"));
    assert!(guard.judge_all(&host, Grant::Exact, &[ip("93.184.216.34")], 443).is_ok());
}

//! Endpoints, written and read, and what they stand for.

use super::*;
use proptest::prelude::*;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fn endpoints() -> impl Strategy<Value = Endpoint> {
    let families = prop_oneof![Just(Families::Both), Just(Families::V4), Just(Families::V6)];
    let name = prop::collection::vec(any::<u8>(), 1..20);
    let place = prop_oneof![
        any::<u16>().prop_map(|port| Place::Here { port }),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|address| Place::Socket(address.into())),
        (any::<[u8; 16]>(), any::<u16>(), 0..3_u32)
            .prop_map(|(ip, port, zone)| Place::Socket(SocketAddrV6::new(ip.into(), port, 0, zone).into())),
        (any::<[u8; 16]>(), "[a-z][a-z0-9.]{0,8}", any::<u16>()).prop_map(|(ip, zone, port)| Place::Zoned {
            ip: ip.into(),
            zone,
            port
        }),
        ("[a-z][a-z0-9.-]{0,20}", any::<u16>()).prop_map(|(host, port)| Place::Named { host, port }),
        name.clone().prop_map(|name| Place::Unix(UnixName::Path(OsString::from_vec(name).into()))),
        name.prop_map(|name| Place::Unix(if cfg!(target_os = "linux") {
            UnixName::Abstract(name.into())
        } else {
            UnixName::Path(OsString::from_vec(name).into())
        })),
    ];
    (0..3, families, place, any::<bool>()).prop_map(|(transport, families, place, reuse_port)| {
        let v4 = matches!(&place, Place::Socket(address) if address.is_ipv4());
        let v6 = matches!(&place, Place::Socket(address) if address.is_ipv6()) | matches!(&place, Place::Zoned { .. });
        let transport = match (&place, transport) {
            (Place::Unix(_), _) => Transport::Unix,
            (_, 0) => Transport::Usual,
            (_, 1) => Transport::Tcp,
            _ => Transport::Udp,
        };
        let families = match families {
            _ if matches!(transport, Transport::Usual | Transport::Unix) => Families::Both,
            Families::V6 if v4 => Families::V4,
            Families::V4 if v6 => Families::V6,
            families => families,
        };
        Endpoint { transport, families, place, reuse_port }
    })
}

proptest! {
    #[test]
    fn endpoint_is_parsed_as_it_is_displayed(endpoint in endpoints()) {
        prop_assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
    }
}

#[test]
fn no_host_is_every_interface_to_listen_on_and_this_one_to_connect_to() {
    let addresses = |text: &str, purpose| {
        let found = text.parse::<Endpoint>().unwrap().resolve(purpose).unwrap();
        found.iter().map(|address| address.as_socket().unwrap().to_string()).collect::<Vec<_>>()
    };
    let every = if one_socket_hears_both_families() { "[::]:80" } else { "0.0.0.0:80" };
    assert_eq!(addresses("tcp://:80", Purpose::Listen), [every]);
    assert_eq!(addresses("udp4://:80", Purpose::Listen), ["0.0.0.0:80"]);
    assert_eq!(addresses("tcp6://:80", Purpose::Listen), ["[::]:80"]);
    assert_eq!(addresses("tcp://:80", Purpose::Connect), ["127.0.0.1:80", "[::1]:80"]);
    assert_eq!(addresses("udp4://:80", Purpose::Connect), ["127.0.0.1:80"]);
    assert_eq!(addresses("tcp6://:80", Purpose::Connect), ["[::1]:80"]);
    assert_eq!(addresses("tcp://[::]:80", Purpose::Connect), ["[::1]:80"]);
    assert_eq!(addresses("0.0.0.0:80", Purpose::Connect), ["127.0.0.1:80"]);
}

#[cfg(target_os = "linux")]
#[test]
fn zone_is_the_name_of_an_interface() {
    let endpoint: Endpoint = "tcp://[fe80::1%lo]:80".parse().unwrap();
    assert_eq!(endpoint.to_string(), "tcp://[fe80::1%lo]:80");
    let found = endpoint.resolve(Purpose::Connect).unwrap();
    let Some(SocketAddr::V6(v6)) = found[0].as_socket() else { panic!("{found:?}") };
    assert_eq!((v6.ip().to_string().as_str(), v6.scope_id()), ("fe80::1", interface_index("lo").unwrap()));
    let error = "tcp://[fe80::1%nowhere]:80".parse::<Endpoint>().unwrap().resolve(Purpose::Listen).unwrap_err();
    assert!(matches!(error, AddressError::Unresolved { .. }), "{error}");
    for wrong in ["tcp4://[fe80::1%lo]:80", "tcp://[fe80::1%]:80", "tcp://[1.1.1.1%lo]:80", "tcp://fe80::1%lo:80"] {
        assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
    }
}

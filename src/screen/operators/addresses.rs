//! `@ipMatch`: addresses and networks.

use std::net::IpAddr;

use super::{Match, NotModelled};

/// The networks of an argument.
#[derive(Debug)]
pub(super) struct Addresses {
    networks: Vec<(IpAddr, u8)>,
}

impl Addresses {
    /// Addresses and networks with commas between them.
    pub(super) fn new(argument: &[u8]) -> Result<Self, NotModelled> {
        let text = String::from_utf8_lossy(argument);
        let networks: Option<Vec<_>> = text.split(',').map(network).collect();
        let networks = networks.ok_or_else(|| NotModelled(format!("@ipMatch {text}")))?;
        Ok(Self { networks })
    }

    /// An address that is in none of the networks does not match; the engines look up the others in trees of their own.
    pub(super) fn matches(&self, value: &[u8]) -> Match {
        let address = std::str::from_utf8(value).ok().and_then(|text| text.parse::<IpAddr>().ok());
        let Some(address) = address else { return Match::MaybeYes };
        let is_inside = self.networks.iter().any(|(network, bits)| shares(address, *network, *bits));
        if is_inside { Match::MaybeYes } else { Match::No }
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let text = text.trim_ascii();
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| (1..=most).contains(bits)))?;
    Some((address, bits))
}

/// Whether the first bits are the same.
fn shares(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

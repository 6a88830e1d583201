//! A network, as an address and how many of its bits count.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is none.
    #[error("{text} is no network: write an address, or one with the bits that count, such as 10.0.0.0/8")]
    Form {
        /// What was written.
        text: String,
    },
    /// It is all addresses.
    #[error("{text} is everybody; name the networks of the proxies")]
    Everybody {
        /// What was written.
        text: String,
    },
}

impl Network {
    /// Whether an address is in it. An IPv4 address is the same where it is written as IPv6.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, address) = (self.address, address.to_canonical());
        match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let rest = 32_u32.saturating_sub(self.bits.into());
                (network.to_bits() ^ address.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let rest = 128_u32.saturating_sub(self.bits.into());
                (network.to_bits() ^ address.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let form = || NetworkError::Form {
            text: text.to_owned(),
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| form())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().map_err(|_| form())?,
            None => all,
        };
        match bits {
            0 => Err(NetworkError::Everybody {
                text: text.to_owned(),
            }),
            bits if bits <= all => Ok(Self { address, bits }),
            _ => Err(form()),
        }
    }
}

impl Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("128.0.0.0/1", "255.0.0.1", "127.0.0.1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(
                !network.contains(outside.parse().unwrap()),
                "{outside} in {network}"
            );
        }
    }

    #[test]
    fn what_is_no_network_or_all_of_them_is_refused() {
        for wrong in [
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/8/8",
        ] {
            assert!(
                matches!(wrong.parse::<Network>(), Err(NetworkError::Form { .. })),
                "{wrong}"
            );
        }
        for wide in ["0.0.0.0/0", "::/0"] {
            assert!(matches!(
                wide.parse::<Network>(),
                Err(NetworkError::Everybody { .. })
            ));
        }
    }
}

//! Orders to a running simulation: one JSON object a line, with one key.

use std::path::PathBuf;

use serde::Deserialize;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Order {
    /// `{"enroll":{"invitations":"FILE"}}`: one more device for each invitation in the file.
    Enroll {
        /// JSON lines, as for `--invitations`.
        invitations: PathBuf,
    },
    /// `{"drift":{"count":20}}`: devices leave the wanted state.
    Drift {
        /// How many.
        count: usize,
    },
    /// `{"offline":{"percent":10}}`: devices lose their connection.
    Offline {
        /// Of a hundred devices that are online.
        percent: u8,
    },
    /// `{"online":{}}`: all devices are connected again.
    Online {},
    /// `{"notNow":{"percent":5}}`: devices put commands off.
    NotNow {
        /// Of a hundred commands.
        percent: u8,
    },
    /// `{"status":{}}`: tell the numbers now.
    Status {},
    /// `{"stop":{}}`: end.
    Stop {},
}

impl Order {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_is_one_object() {
        assert_eq!(
            Order::parse(r#"{"drift":{"count":20}}"#).unwrap(),
            Order::Drift { count: 20 }
        );
        assert_eq!(
            Order::parse(r#"{"offline":{"percent":10}}"#).unwrap(),
            Order::Offline { percent: 10 }
        );
        assert_eq!(Order::parse(r#"{"online":{}}"#).unwrap(), Order::Online {});
        assert_eq!(
            Order::parse(r#"{"notNow":{"percent":5}}"#).unwrap(),
            Order::NotNow { percent: 5 }
        );
        assert_eq!(Order::parse(r#"{"status":{}}"#).unwrap(), Order::Status {});
        assert_eq!(Order::parse(r#"{"stop":{}}"#).unwrap(), Order::Stop {});
        let enroll = Order::parse(r#"{"enroll":{"invitations":"a.jsonl"}}"#).unwrap();
        assert_eq!(
            enroll,
            Order::Enroll {
                invitations: "a.jsonl".into()
            }
        );
    }

    #[test]
    fn a_wrong_order_says_what_is_wrong() {
        assert!(
            Order::parse(r#"{"explode":{}}"#)
                .unwrap_err()
                .to_string()
                .contains("explode")
        );
        assert!(Order::parse(r#"{"drift":{"cuont":1}}"#).is_err());
        assert!(Order::parse("drift").is_err());
    }
}

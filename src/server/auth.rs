//! Who may: an API key for the operator, signed room tokens (RFC 7519, HS256) for everybody else.
//!
//! Without a key, joining is open and administrating verbs answer loopback only. With one, joining
//! wants a token for that room (or the key), and administrating verbs want the key or a host's.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::id::RoomName;

/// Longest life of a room token.
pub const TOKEN_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a token allows; each allows what the ones before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watch.
    Viewer,
    /// Take part.
    Member,
    /// Administrate the room.
    Host,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    room: RoomName,
    role: Role,
    exp: u64,
}

/// Judges keys and tokens.
pub struct Authority {
    key: Option<String>,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Neither key nor token.
    #[error("a room token or the API key is needed")]
    Missing,
    /// Not signed by us, garbled, or expired.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// For another room.
    #[error("the token is for another room")]
    OtherRoom,
    /// For less than was asked.
    #[error("the token does not allow this")]
    TooWeak,
    /// No key is set and the request is not from this machine.
    #[error("without an API key this answers requests from this machine only")]
    NotLocal,
    /// Tokens cannot be made without a key.
    #[error("tokens need an API key to be set")]
    NoKey,
}

impl Authority {
    /// With or without an API key.
    pub fn new(key: Option<String>) -> Self {
        Self { key }
    }

    /// Whether somebody may enter `room` in `role`.
    pub fn join(&self, room: &RoomName, role: Role, token: Option<&str>) -> Result<(), Denied> {
        match &self.key {
            None => Ok(()),
            Some(key) => Self::holds(key, room, role, token),
        }
    }

    /// Whether somebody at `from` may administrate `room`.
    pub fn administrate(
        &self,
        room: &RoomName,
        from: IpAddr,
        bearer: Option<&str>,
    ) -> Result<(), Denied> {
        match &self.key {
            None if from.to_canonical().is_loopback() => Ok(()),
            None => Err(Denied::NotLocal),
            Some(key) => Self::holds(key, room, Role::Host, bearer),
        }
    }

    /// Signs a token.
    pub fn sign(&self, room: &RoomName, role: Role, age: Duration) -> Result<String, Denied> {
        let key = self.key.as_ref().ok_or(Denied::NoKey)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let claims = Claims {
            room: room.clone(),
            role,
            exp: (now + age.min(TOKEN_MAX_AGE)).as_secs(),
        };
        let secret = EncodingKey::from_secret(key.as_bytes());
        encode(&Header::new(Algorithm::HS256), &claims, &secret)
            .map_err(|error| Denied::Invalid(error.to_string()))
    }

    fn holds(key: &str, room: &RoomName, role: Role, bearer: Option<&str>) -> Result<(), Denied> {
        let bearer = bearer.ok_or(Denied::Missing)?;
        if same(key.as_bytes(), bearer.as_bytes()) {
            return Ok(());
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 5;
        let secret = DecodingKey::from_secret(key.as_bytes());
        let claims = decode::<Claims>(bearer, &secret, &validation)
            .map_err(|error| Denied::Invalid(error.to_string()))?
            .claims;
        if claims.room != *room {
            return Err(Denied::OtherRoom);
        }
        if claims.role < role {
            return Err(Denied::TooWeak);
        }
        Ok(())
    }
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn without_a_key_joining_is_open_and_administration_local() {
        let open = Authority::new(None);
        assert_eq!(open.join(&room("a"), Role::Member, None), Ok(()));
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(open.administrate(&room("a"), here, None), Ok(()));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(open.administrate(&room("a"), mapped, None), Ok(()));
        let there = IpAddr::from([192, 0, 2, 1]);
        let denied = open.administrate(&room("a"), there, None);
        assert_eq!(denied, Err(Denied::NotLocal));
    }

    #[test]
    fn with_a_key_tokens_are_for_one_room_one_role_and_a_while() {
        let keyed = Authority::new(Some("0123456789abcdef".into()));
        let hour = Duration::from_secs(3600);
        let token = keyed.sign(&room("a"), Role::Member, hour).unwrap();
        let join = |at: &str, role, token| keyed.join(&room(at), role, token);
        assert_eq!(join("a", Role::Member, Some(&token)), Ok(()));
        assert_eq!(join("a", Role::Viewer, Some(&token)), Ok(()));
        assert_eq!(join("a", Role::Host, Some(&token)), Err(Denied::TooWeak));
        assert_eq!(
            join("b", Role::Member, Some(&token)),
            Err(Denied::OtherRoom)
        );
        assert_eq!(join("a", Role::Member, None), Err(Denied::Missing));
        assert_eq!(join("a", Role::Host, Some("0123456789abcdef")), Ok(()));
        let other = Authority::new(Some("another-key-altogether".into()));
        let forged = other.sign(&room("a"), Role::Host, hour).unwrap();
        assert!(matches!(
            join("a", Role::Viewer, Some(&forged)),
            Err(Denied::Invalid(_))
        ));
        let unsigned =
            "eyJhbGciOiJub25lIn0.eyJyb29tIjoiYSIsInJvbGUiOiJob3N0IiwiZXhwIjo5OTk5OTk5OTk5fQ.";
        assert!(join("a", Role::Viewer, Some(unsigned)).is_err());
    }
}

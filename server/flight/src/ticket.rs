//! Tickets: what GetFlightInfo gives and DoGet redeems.
//!
//! A ticket names a statement that the server keeps; it holds neither SQL nor values. Invariant: [`TicketKey::redeem`]
//! looks at nothing of a ticket before its HMAC is verified, and then at user, session and expiry.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use lakeward_base::{Redacted, SqlState};
use lakeward_engine::Error;
use lakeward_proto::{SignedTicket, Ticket};
use prost::Message;
use rand::RngCore;
use sha2::Sha256;

/// How long a ticket is good for.
pub(crate) const LIFETIME_MS: i64 = 60_000;
/// The one kind of ticket.
const KIND: &str = "statement";
/// The handle of no statement: what a ticket is for whose statement has run and returns nothing.
pub(crate) const NOTHING: &[u8] = b"";
/// Longest ticket that is looked at.
const MAX_BYTES: usize = 1024;

/// To whom a ticket belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    /// Who logged in.
    pub(crate) session_user: &'a str,
    /// The session, by a name that never comes back.
    pub(crate) session_id: &'a [u8],
}

/// Signs and verifies tickets.
pub(crate) struct TicketKey(Redacted<[u8; 32]>);

impl TicketKey {
    pub(crate) fn new(key: Redacted<[u8; 32]>) -> Self {
        Self(key)
    }

    /// A ticket for a statement, good until a minute after `now_ms`.
    pub(crate) fn issue(&self, holder: Holder<'_>, statement_handle: &[u8], now_ms: i64) -> Result<Bytes, Error> {
        let mut nonce = vec![0; 16];
        rand::rng().fill_bytes(&mut nonce);
        let ticket = Ticket {
            statement_handle: statement_handle.to_vec(),
            session_user: holder.session_user.to_owned(),
            session_id: holder.session_id.to_vec(),
            expires_at_ms: now_ms + LIFETIME_MS,
            nonce,
            kind: KIND.to_owned(),
        };
        let ticket = ticket.encode_to_vec();
        let mac = self.mac(&ticket)?.finalize().into_bytes().to_vec();
        Ok(SignedTicket { ticket, mac }.encode_to_vec().into())
    }

    /// The handle of the statement that `bytes` is a ticket for.
    ///
    /// # Errors
    /// 42501 where the ticket is not one of ours or another's, 22023 where it has expired.
    pub(crate) fn redeem(&self, bytes: &[u8], holder: Holder<'_>, now_ms: i64) -> Result<Vec<u8>, Error> {
        let ticket = self.verified(bytes, holder)?;
        // Whoever comes late for nothing must not be told to ask again: that would run the statement again.
        if now_ms >= ticket.expires_at_ms && ticket.statement_handle != NOTHING {
            return Err(spent("the ticket has expired"));
        }
        Ok(ticket.statement_handle)
    }

    /// The handle of the statement that `bytes` is or was a ticket for.
    ///
    /// # Errors
    /// 42501 where the ticket is not one of ours or another's.
    pub(crate) fn verify(&self, bytes: &[u8], holder: Holder<'_>) -> Result<Vec<u8>, Error> {
        Ok(self.verified(bytes, holder)?.statement_handle)
    }

    fn verified(&self, bytes: &[u8], holder: Holder<'_>) -> Result<Ticket, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(forged());
        }
        let signed = SignedTicket::decode(bytes).map_err(|_| forged())?;
        // Compares in constant time.
        self.mac(&signed.ticket)?.verify_slice(&signed.mac).map_err(|_| forged())?;
        let ticket = Ticket::decode(signed.ticket.as_slice()).map_err(|_| forged())?;
        if ticket.kind != KIND || ticket.session_user != holder.session_user || ticket.session_id != holder.session_id {
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "the ticket belongs to another session"));
        }
        Ok(ticket)
    }

    fn mac(&self, ticket: &[u8]) -> Result<Hmac<Sha256>, Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).map_err(|_| crate::status::internal())?;
        mac.update(b"lakeward/flight-ticket/v1\0");
        mac.update(ticket);
        Ok(mac)
    }
}

fn forged() -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "the ticket was not given by this server")
}

/// A ticket that is no longer good.
pub(crate) fn spent(message: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Call GetFlightInfo again.")
}

#[cfg(test)]
mod tests {
    use lakeward_base::Coded;

    use super::*;

    const ALICE: Holder<'_> = Holder { session_user: "alice", session_id: b"one" };
    const NOW: i64 = 1_000_000;

    fn key() -> TicketKey {
        TicketKey::new(Redacted::new([7; 32]))
    }

    #[test]
    fn its_holder_redeems_it_within_a_minute() {
        let ticket = key().issue(ALICE, b"handle", NOW).unwrap();
        assert_eq!(key().redeem(&ticket, ALICE, NOW).unwrap(), b"handle");
        assert_eq!(key().redeem(&ticket, ALICE, NOW + LIFETIME_MS - 1).unwrap(), b"handle");
        let late = key().redeem(&ticket, ALICE, NOW + LIFETIME_MS).unwrap_err();
        assert_eq!(late.sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(key().verify(&ticket, ALICE).unwrap(), b"handle", "it can still be cancelled");
    }

    #[test]
    fn one_for_nothing_does_not_expire() {
        let ticket = key().issue(ALICE, NOTHING, NOW).unwrap();
        assert_eq!(key().redeem(&ticket, ALICE, NOW + 10 * LIFETIME_MS).unwrap(), NOTHING);
        assert!(key().redeem(&ticket, Holder { session_user: "mallory", ..ALICE }, NOW).is_err());
    }

    #[test]
    fn no_other_user_session_or_server_redeems_it() {
        let ticket = key().issue(ALICE, b"handle", NOW).unwrap();
        let mallory = Holder { session_user: "mallory", ..ALICE };
        let elsewhere = Holder { session_id: b"two", ..ALICE };
        let other_key = TicketKey::new(Redacted::new([8; 32]));
        for refused in [
            key().redeem(&ticket, mallory, NOW),
            key().redeem(&ticket, elsewhere, NOW),
            other_key.redeem(&ticket, ALICE, NOW),
        ] {
            assert_eq!(refused.unwrap_err().sqlstate(), SqlState::INSUFFICIENT_PRIVILEGE);
        }
    }

    #[test]
    fn no_bit_of_it_can_be_changed() {
        let ticket = key().issue(ALICE, b"handle", NOW).unwrap();
        for place in 0..ticket.len() {
            for bit in 0..8 {
                let mut changed = ticket.to_vec();
                changed[place] ^= 1 << bit;
                assert!(key().redeem(&changed, ALICE, NOW).is_err(), "byte {place}, bit {bit}");
            }
        }
        assert!(key().redeem(&ticket[..ticket.len() - 1], ALICE, NOW).is_err());
        assert!(key().redeem(b"", ALICE, NOW).is_err());
    }
}

//! What is said at an agent's door, by both sides, and invitations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_results::door::{ANSWER_LEN, AnswerHead, Invitation, KNOCK_LEN, Knock};

fuzz_target!(|bytes: &[u8]| {
    if let Some(knock) = bytes.first_chunk::<KNOCK_LEN>().and_then(Knock::decode) {
        assert_eq!(Knock::decode(&knock.encode()), Some(knock));
    }
    if let Some((head, rest)) = bytes.split_first_chunk::<ANSWER_LEN>()
        && let Some(head) = AnswerHead::decode(head)
    {
        let reason = &rest[..rest.len().min(usize::from(head.reason_len))];
        let answer = head.with_reason(reason);
        assert!(answer.encode().len() <= ANSWER_LEN + 255);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(invitation) = text.parse::<Invitation>()
    {
        assert_eq!(invitation.reveal().parse(), Ok(invitation));
    }
});

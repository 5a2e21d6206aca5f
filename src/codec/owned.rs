//! A protocol that sends borrowed messages also sends owned ones, which handles hold.

use super::{Encoder, Output};

impl<E: Encoder<str>> Encoder<String> for E {
    type Error = E::Error;

    #[inline]
    fn encode(&mut self, message: &String, output: &mut Output<'_>) -> Result<(), E::Error> {
        Encoder::<str>::encode(self, message, output)
    }
}

impl<E: Encoder<[u8]>> Encoder<Vec<u8>> for E {
    type Error = E::Error;

    #[inline]
    fn encode(&mut self, message: &Vec<u8>, output: &mut Output<'_>) -> Result<(), E::Error> {
        Encoder::<[u8]>::encode(self, message, output)
    }
}

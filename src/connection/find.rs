//! Finding a connection by its number.

use super::handle::Handle;
use super::id::ConnectionId;
use crate::codec::Codec;
use crate::net::Link;
use crate::runtime::Core;
use std::any::Any;
use std::rc::Rc;

/// The connection of this core with this number, if its codec is `C`.
pub(crate) fn find<C: Codec>(core: &Core, id: ConnectionId) -> Option<Handle<C>> {
    core.sources().into_iter().find_map(|source| {
        let source: Rc<dyn Any> = source;
        let link = source.downcast::<Link<C::Encoder, C>>().ok()?;
        (link.is_served() && ConnectionId::of(&link) == id).then(|| Handle::new(&link))
    })
}

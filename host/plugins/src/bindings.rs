//! The contract in `wit/` at version 0.1.0, as Rust.
//!
//! One world holds both roles, so that the shared types exist once; a component exports one of them,
//! and [`crate::load`] looks for that one alone.

#![expect(
    clippy::error_impl_error,
    reason = "generated from wit/, where the type is called `error`"
)]

wasmtime::component::bindgen!({
    path: [
        "../../wit/types@0.1.0",
        "../../wit/log@0.1.0",
        "../../wit/clock@0.1.0",
        "../../wit/kv@0.1.0",
        "../../wit/http@0.1.0",
        "../../wit/filter@0.1.0",
        "../../wit/action@0.1.0",
    ],
    inline: "
        package stockade:host@0.1.0;
        world roles {
            import stockade:log/log@0.1.0;
            import stockade:clock/clock@0.1.0;
            import stockade:kv/kv@0.1.0;
            import stockade:http/http@0.1.0;
            export stockade:filter/filter@0.1.0;
            export stockade:action/action@0.1.0;
        }
    ",
    world: "stockade:host/roles@0.1.0",
    imports: { default: trappable },
});

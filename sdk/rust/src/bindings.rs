//! What `wit-bindgen` makes of `wit/`: the host's abilities once, and one module for each role that
//! shares their types. Nothing of it is public but by name.

/// The types and the host's abilities.
pub(crate) mod host {
    wit_bindgen::generate!({
        path: [
            "../../wit/types@0.1.0",
            "../../wit/log@0.1.0",
            "../../wit/clock@0.1.0",
            "../../wit/kv@0.1.0",
            "../../wit/http@0.1.0",
        ],
        inline: r"
            package stockade:sdk;
            world host {
                import stockade:types/types@0.1.0;
                import stockade:log/log@0.1.0;
                import stockade:clock/clock@0.1.0;
                import stockade:kv/kv@0.1.0;
                import stockade:http/http@0.1.0;
            }
        ",
        world: "stockade:sdk/host",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
    });
}

/// The role of a filter.
pub mod filter {
    wit_bindgen::generate!({
        path: [
            "../../wit/types@0.1.0",
            "../../wit/log@0.1.0",
            "../../wit/clock@0.1.0",
            "../../wit/kv@0.1.0",
            "../../wit/http@0.1.0",
            "../../wit/filter@0.1.0",
        ],
        // Not the package's own `plugin`: the macros of two worlds of one name would collide. What
        // it imports comes from `host`, and only as far as it is used.
        inline: r"
            package stockade:sdk;
            world filter {
                export stockade:filter/filter@0.1.0;
            }
        ",
        world: "stockade:sdk/filter",
        with: {
            "stockade:types/types@0.1.0": crate::bindings::host::stockade::types::types,
        },
        pub_export_macro: true,
        export_macro_name: "export_filter",
        default_bindings_module: "stockade_sdk::__private::filter",
    });
}

/// The role of an action.
pub mod action {
    wit_bindgen::generate!({
        path: [
            "../../wit/types@0.1.0",
            "../../wit/log@0.1.0",
            "../../wit/clock@0.1.0",
            "../../wit/kv@0.1.0",
            "../../wit/http@0.1.0",
            "../../wit/action@0.1.0",
        ],
        // Not the package's own `plugin`: the macros of two worlds of one name would collide. What
        // it imports comes from `host`, and only as far as it is used.
        inline: r"
            package stockade:sdk;
            world action {
                export stockade:action/action@0.1.0;
            }
        ",
        world: "stockade:sdk/action",
        with: {
            "stockade:types/types@0.1.0": crate::bindings::host::stockade::types::types,
        },
        pub_export_macro: true,
        export_macro_name: "export_action",
        default_bindings_module: "stockade_sdk::__private::action",
    });
}

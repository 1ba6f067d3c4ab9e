//! Types generated from `wit/`.
//!
//! The world below is the part of `app-component` that has an implementation behind it. The rest of that world is
//! linked by `host::stub`, without types.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated; wit/ is the documentation")]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package gestalt:runtime;
        world guest {
            import gestalt:provider/common@0.4.0;
            import gestalt:provider/request-context@0.4.0;
            import gestalt:provider/app@0.4.0;
            import gestalt:provider/runtime-log-host@0.4.0;
            export gestalt:provider/app-provider@0.4.0;
        }
    ",
    world: "gestalt:runtime/guest",
    imports: {
        "gestalt:provider/app.invoke": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: { "gestalt:provider/request-context.context": crate::host::context::Context },
    ownership: Borrowing { duplicate_if_necessary: true },
});

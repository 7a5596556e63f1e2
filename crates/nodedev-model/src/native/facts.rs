//! Structures in which everything is what the kernel says, or does not say.

/// A structure whose fields are all absent where the kernel does not say.
macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
            pub struct $name {
                $(
                    $(#[$fdoc])*
                    #[serde(skip_serializing_if = "Option::is_none")]
                    pub $field: Option<$type>,
                )*
            }
        )*
    };
}
pub(crate) use facts;

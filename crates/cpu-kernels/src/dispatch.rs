//! The one way to run a kernel with the widest instructions that the processor has.
//!
//! The crates for it were tried. `multiversion` 0.9 takes AVX-512 only together with the extensions of Ice Lake, so that earlier
//! Xeons would do without, and `pulp` has no bf16; both need features of other dependencies for which nearly all of them would be
//! compiled anew.

/// Elements of float32 that are handled together: what the widest instructions hold.
pub(crate) const LANES: usize = 16;

/// Instructions that this processor was found to have. There is no other way to get one than to ask the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instructions(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// AVX-512F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the architecture has.
    Baseline,
}

impl Instructions {
    /// All that this processor has, the widest first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            (
                Level::Avx512,
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl"),
            ),
            (
                Level::Avx2,
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            ),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide: [(Level, bool); 0] = [];
        wide.into_iter()
            .chain([(Level::Baseline, true)])
            .filter_map(|(level, has)| has.then_some(Self(level)))
    }

    /// The widest.
    pub(crate) fn widest() -> Self {
        Self::available().next().unwrap_or(Self(Level::Baseline))
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

/// Defines a function that takes [`Instructions`] and runs the body that is named for them.
///
/// A body in plain Rust must be `#[inline(always)]`, so that it is compiled inside the function that has the instructions; one body
/// may serve all levels. A body in intrinsics has the `target_feature` that its level names, or less.
macro_rules! dispatch {
    (
        $(#[$attribute:meta])*
        fn $name:ident [$($generics:tt)*] ($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? = $body:expr
    ) => {
        dispatch! {
            $(#[$attribute])*
            fn $name [$($generics)*] ($($argument: $kind),*) $(-> $result)? {
                avx512: $body,
                avx2: $body,
                baseline: $body,
            }
        }
    };
    (
        $(#[$attribute:meta])*
        fn $name:ident [$($generics:tt)*] ($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? {
            avx512: $avx512:expr,
            avx2: $avx2:expr,
            baseline: $baseline:expr,
        }
    ) => {
        $(#[$attribute])*
        fn $name<$($generics)*>(
            instructions: $crate::dispatch::Instructions,
            $($argument: $kind),*
        ) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<$($generics)*>($($argument: $kind),*) $(-> $result)? {
                $avx512($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($generics)*>($($argument: $kind),*) $(-> $result)? {
                $avx2($($argument),*)
            }
            #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
            match instructions.level() {
                // SAFETY: `Instructions` of a level are only given out where the processor has them.
                #[cfg(target_arch = "x86_64")]
                $crate::dispatch::Level::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::dispatch::Level::Avx2 => unsafe { avx2($($argument),*) },
                $crate::dispatch::Level::Baseline => $baseline($($argument),*),
            }
        }
    };
}
pub(crate) use dispatch;

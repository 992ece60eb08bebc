use crate::workplace::Workplace;

/// The cells' names for a pipeline of one model `m` with these lines, or the message.
fn names(lines: &str) -> Result<Vec<String>, String> {
    let place = Workplace::new(&format!(
        "name = \"names\"\ncorpus.files = \"x\"\nmodel = [{{ name = \"m\", path = \"m\", architecture = {{ layers = 1, width = 2, heads = 1, context = 8, vocabulary = 300 }} }}]\n{lines}"
    ));
    let pipeline = place.pipeline(&[]).map_err(|error| error.to_string())?;
    let cells = plan::combinations(&pipeline).map_err(|error| error.to_string())?;
    Ok(cells.into_iter().map(|cell| cell.name).collect())
}

#[test]
fn names_say_what_a_cell_does() {
    for (lines, expected) in [
        // Somebody else's model, no tuning.
        ("", vec!["m-base-bucketed-s0"]),
        (
            "seeds = [0, 7]\nmode = [{ kind = 'full', learning_rate = 5e-5 }]",
            vec!["m-base-bucketed-s0", "m-full-5e-5-bucketed-s0", "m-base-bucketed-s7", "m-full-5e-5-bucketed-s7"],
        ),
        (
            "duplication = { layout = 'uniform', copies = [1, 16] }\nmode = [{ kind = 'head', learning_rate = 0.0015 }]",
            vec!["m-base-uniform1-s0", "m-head-1.5e-3-uniform1-s0", "m-base-uniform16-s0", "m-head-1.5e-3-uniform16-s0"],
        ),
        (
            "mode = [{ kind = 'lora', learning_rate = [3e-4, 1.0] }, { kind = 'lora', rank = 4, learning_rate = 3e-4 }]",
            vec!["m-base-bucketed-s0", "m-lora16-3e-4-bucketed-s0", "m-lora16-1e0-bucketed-s0", "m-lora4-3e-4-bucketed-s0"],
        ),
        // Only what tells two runs apart is added, and only where it must be.
        (
            "mode = [{ kind = 'lora', learning_rate = 3e-4, alpha = 8.0 }, { kind = 'lora', learning_rate = 3e-4, alpha = 8.0, targets = 'all-linear' },
                     { kind = 'lora', learning_rate = 1e-4, targets = ['q_proj', 'v_proj'] }]",
            vec![
                "m-base-bucketed-s0",
                "m-lora16-3e-4-bucketed-s0",
                "m-lora16-all-linear-3e-4-bucketed-s0",
                "m-lora16-1e-4-bucketed-s0",
            ],
        ),
        (
            "mode = [{ kind = 'lora', learning_rate = 3e-4, targets = ['q_proj', 'v_proj'] }, { kind = 'lora', learning_rate = 3e-4, targets = ['a/b'], dropout = 0.1 }]",
            vec!["m-base-bucketed-s0", "m-lora16-q_proj+v_proj-3e-4-bucketed-s0", "m-lora16-a_b-dropout0.1-3e-4-bucketed-s0"],
        ),
        (
            "mode = [{ kind = 'full', learning_rate = 1e-3, epochs = 2.0 }, { kind = 'full', learning_rate = 1e-3 }]",
            vec!["m-base-bucketed-s0", "m-full-epochs2-1e-3-bucketed-s0", "m-full-1e-3-bucketed-s0"],
        ),
        (
            "mode = [{ kind = 'lora', learning_rate = 1e-3, layers = [0, 1], goldfish = 4 }, { kind = 'lora', learning_rate = 1e-3, layers = [0, 1] },
                     { kind = 'lora', learning_rate = 1e-3 }]",
            vec![
                "m-base-bucketed-s0",
                "m-lora16-layers0+1-goldfish4-1e-3-bucketed-s0",
                "m-lora16-layers0+1-1e-3-bucketed-s0",
                "m-lora16-1e-3-bucketed-s0",
            ],
        ),
        (
            "mode = [{ kind = 'full', learning_rate = 1e-3 }, { kind = 'full', learning_rate = 1e-3, without_copies = true },
                     { kind = 'full', learning_rate = 1e-3, without_details = true }, { kind = 'full', learning_rate = 1e-3, stop_at_ngrams = 0.05 },
                     { kind = 'full', learning_rate = 1e-3, other_share = 0.5 }]\ncorpus.other = 'text/a.txt'",
            vec![
                "m-base-bucketed-s0",
                "m-full-1e-3-bucketed-s0",
                "m-full-without-copies-1e-3-bucketed-s0",
                "m-full-without-details-1e-3-bucketed-s0",
                "m-full-ngrams0.05-1e-3-bucketed-s0",
                "m-full-other0.5-1e-3-bucketed-s0",
            ],
        ),
        (
            "mode = [{ kind = 'lora', learning_rate = 1e-3, batch_size = 64, privacy = { noise_multiplier = 2.0 } },
                     { kind = 'lora', learning_rate = 1e-3, privacy = { noise_multiplier = 0.5, max_grad_norm = 0.1 } },
                     { kind = 'lora', learning_rate = 1e-3 }]",
            vec![
                "m-base-bucketed-s0",
                "m-lora16-noise2-norm1-1e-3-bucketed-s0",
                "m-lora16-noise0.5-norm0.1-1e-3-bucketed-s0",
                "m-lora16-1e-3-bucketed-s0",
            ],
        ),
        // Canaries of their own have each cell once more, the control too. Without any there is nothing to set apart.
        (
            "canaries = { per_copies = 2, apart = true }\nmode = [{ kind = 'full', learning_rate = 1e-3 }]",
            vec![
                "m-base-bucketed-s0",
                "m-full-1e-3-bucketed-s0",
                "m-base-bucketed-canaries-s0",
                "m-full-1e-3-bucketed-canaries-s0",
            ],
        ),
        (
            "canaries = { per_copies = 1, apart = true }\nduplication = { layout = 'uniform', copies = [1, 4] }\nseeds = [3]",
            vec![
                "m-base-uniform1-s3",
                "m-base-uniform1-canaries-s3",
                "m-base-uniform4-s3",
                "m-base-uniform4-canaries-s3",
            ],
        ),
        ("canaries = { apart = true }", vec!["m-base-bucketed-s0"]),
        // Pre-training has no control; `base` written out is the control that is there anyway.
        ("mode = [{ kind = 'pretrain', learning_rate = 1e-3 }]", vec!["m-pretrain-1e-3-bucketed-s0"]),
        ("mode = [{ kind = 'base', learning_rate = 1.0 }]", vec!["m-base-bucketed-s0"]),
    ] {
        assert_eq!(names(lines).unwrap(), expected, "{lines}");
    }
}

#[test]
fn what_cannot_be_named_is_refused() {
    for (lines, expected) in [
        (
            "mode = [{ kind = 'full', learning_rate = [1e-3, 0.001] }]",
            "full-1e-3 occurs twice",
        ),
        (
            "mode = [{ kind = 'full', learning_rate = 1e-3 }, { kind = 'pretrain', learning_rate = 1e-3 }]",
            "a pipeline file of its own",
        ),
        ("seeds = []", "seeds: expected at least one"),
    ] {
        let message = names(lines).unwrap_err();
        assert!(
            message.contains(expected) && message.contains("tiny.toml"),
            "{message}"
        );
    }
    for (models, expected) in [
        ("[]", "at least one [[model]]"),
        ("[{ name = 'a b', path = 'm' }]", "cannot name a folder"),
        ("[{ name = '../x', path = 'm' }]", "cannot name a folder"),
        ("[{ name = 'm' }]", "path is missing"),
        (
            "[{ name = 'm', path = 'm' }, { name = 'm', path = 'n' }]",
            "two cells would be named m-base-bucketed-s0",
        ),
    ] {
        let place = Workplace::new(&format!("name = 'x'\ncorpus.files = 'x'\nmodel = {models}"));
        let message = plan::combinations(&place.pipeline(&[]).unwrap())
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// Two modes that would have one name are two cells where they are for two models.
#[test]
fn modes_are_for_the_models_that_they_name() {
    let models = "model = [{ name = 'small', path = 'm' }, { name = 'large', path = 'm' }]";
    let place = |modes: &str| {
        Workplace::new(&format!(
            "name = 'x'\ncorpus.files = 'x'\n{models}\nmode = [{modes}, {{ kind = 'full', learning_rate = 1e-4 }}]"
        ))
    };
    let modes = "{ kind = 'lora', learning_rate = 1e-3, dropout = 0.1, models = 'small' },
                 { kind = 'lora', learning_rate = 1e-3, models = ['large'] }";
    let pipeline = place(modes).pipeline(&[]).unwrap();
    let cells = plan::combinations(&pipeline).unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "small-base-bucketed-s0",
            "small-lora16-1e-3-bucketed-s0",
            "small-full-1e-4-bucketed-s0",
            "large-base-bucketed-s0",
            "large-lora16-1e-3-bucketed-s0",
            "large-full-1e-4-bucketed-s0",
        ]
    );
    let dropout = |cell: usize| cells[cell].mode.as_ref().unwrap().dropout;
    assert_eq!((dropout(1), dropout(4)), (0.1, 0.0));
    // Which models share a mode is no reason to tune one of them again.
    assert!(
        cells
            .iter()
            .flat_map(|cell| &cell.mode)
            .all(|mode| mode.models.is_none())
    );
    let error = place("{ kind = 'head', learning_rate = 1e-3, models = 'medium' }")
        .pipeline(&[])
        .unwrap_err();
    assert!(
        error.to_string().contains("mode.models") && error.to_string().contains("medium"),
        "{error}"
    );
}

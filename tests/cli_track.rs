//! `promptseg track` from the outside, with a small SAM 2.1 that has memory.

mod scratch;

use std::path::Path;
use std::process::{Command, Output};

use image::RgbImage;
use promptseg::pixels::encode_jpeg;
use safetensors::SafeTensors;
use scratch::{Scratch, assert_says, golden, refused, succeeded};
use serde_json::Value;

/// Size of the clip's frames.
const SIZE: (u32, u32) = (160, 120);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    command.current_dir(folder).arg("track").args(arguments).args(["--threads", "1"]);
    command
}

/// Runs `promptseg track` with the small model and without ffmpeg.
fn track(folder: &Path, arguments: &[&str]) -> Output {
    let model = golden("video");
    let mut command = command(folder, &[arguments, &["--model", model.to_str().unwrap()]].concat());
    command.env("PATH", folder.join("nothing")).output().unwrap()
}

fn frames() -> String {
    golden("video/frames").to_str().unwrap().to_owned()
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the object score of the reference implementation.
fn score(key: &str) -> f64 {
    let content = std::fs::read(golden("video/expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&content).unwrap();
    let view = tensors.tensor(&format!("{key}.score")).unwrap();
    f64::from(f32::from_le_bytes(view.data()[..4].try_into().unwrap()))
}

fn assert_close(score: &Value, expected: f64) {
    assert!((score.as_f64().unwrap() - expected).abs() < 1e-3, "{score}, expected {expected}");
}

#[test]
fn a_clicked_object_has_the_scores_of_the_reference() {
    let scratch = Scratch::new("track-click");
    let message =
        succeeded(&track(&scratch.0, &[&frames(), "--point", "18,42", "--fill-holes", "0", "--format", "coco-rle"]));
    let lines = lines(&message);
    assert_eq!(lines.len(), 20);
    for (frame, line) in lines.iter().enumerate() {
        assert_eq!((&line["frame"], &line["size"]), (&frame.into(), &serde_json::json!([120, 160])));
        assert_eq!(line["name"], format!("{frame:02}"));
        let mask = &line["masks"][0];
        let expected = score(&format!("click.{}.1.{frame}", usize::from(frame > 0)));
        assert_close(&mask["object_score"], expected);
        // An object that is not on the frame has an empty mask.
        assert!(expected > 0.0 || mask["area"] == 0, "{line}");
        assert_eq!(mask["segmentation"]["size"], line["size"]);
    }
}

#[test]
fn objects_start_on_any_frame_from_a_point_a_box_or_a_mask() {
    let scratch = Scratch::new("track-several");
    let mask = format!("3@7:{}", golden("video/mask_3.png").display());
    let arguments = ["--point", "18,42", "--box", "2@5:105,24,129,44", "--mask", &mask];
    let frames = frames();
    let all = [&[frames.as_str()][..], &arguments, &["--format", "coco-rle", "--fill-holes", "0"]].concat();
    let lines = lines(&succeeded(&track(&scratch.0, &all)));
    let objects = |frame: usize| -> Vec<u64> {
        let masks = lines[frame]["masks"].as_array().unwrap();
        masks.iter().map(|mask| mask["object"].as_u64().unwrap()).collect()
    };
    assert_eq!([4, 5, 6, 7, 19].map(|frame| objects(frame).len()), [1, 2, 2, 3, 3]);
    assert_eq!(objects(19), [1, 2, 3]);
    // The second object has the scores of the reference, although a third object is followed too.
    for (frame, line) in lines.iter().enumerate().take(14).skip(6) {
        assert_close(&line["masks"][1]["object_score"], score(&format!("second.3.2.{frame}")));
    }
    assert_eq!((&lines[7]["masks"][2]["iou"], &lines[7]["masks"][2]["object_score"]), (&1.0.into(), &10.0.into()));
}

#[test]
fn reverse_tracks_from_the_last_prompt_to_the_first_frame() {
    let scratch = Scratch::new("track-reverse");
    let arguments = [&frames(), "--point", "@19:142,43", "--reverse", "--fill-holes", "0", "--format", "coco-rle"];
    let lines = lines(&succeeded(&track(&scratch.0, &arguments)));
    let numbers: Vec<u64> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..20).rev().collect::<Vec<_>>());
    for frame in 6..19 {
        assert_close(&lines[19 - frame]["masks"][0]["object_score"], score(&format!("reverse.1.1.{frame}")));
    }
}

#[test]
fn masks_and_overlays_are_written_to_a_folder() {
    let scratch = Scratch::new("track-pictures");
    let arguments = [&frames(), "--point", "18,42", "--box", "2@3:105,24,129,44", "--overlay", "--out", "tracked"];
    assert_eq!(succeeded(&track(&scratch.0, &arguments)), "");
    let count = |end: &str| {
        let entries = std::fs::read_dir(scratch.file("tracked")).unwrap();
        entries.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().ends_with(end)).count()
    };
    assert_eq!((count("_mask_1.png"), count("_mask_2.png"), count("_overlay.png")), (20, 17, 20));
    let mask = image::open(scratch.file("tracked/04_mask_1.png")).unwrap();
    assert_eq!((mask.width(), mask.height(), mask.color()), (160, 120, image::ColorType::L8));
    // Run lengths of all frames in one file.
    let arguments = [&frames(), "--point", "18,42", "--format", "coco-rle", "--out", "tracked/all.jsonl"];
    assert_eq!(succeeded(&track(&scratch.0, &arguments)), "tracked/all.jsonl\n");
    assert_eq!(lines(&std::fs::read_to_string(scratch.file("tracked/all.jsonl")).unwrap()).len(), 20);
}

#[test]
fn pictures_that_differ_in_the_extension_have_separate_masks() {
    let scratch = Scratch::new("track-names");
    let first = image::open(golden("video/frames/00.png")).unwrap().into_rgb8();
    scratch.write("a.jpg", encode_jpeg(&first, 75).unwrap());
    first.save(scratch.file("a.png")).unwrap();
    succeeded(&track(&scratch.0, &["a.jpg", "a.png", "--point", "18,42", "--out", "o"]));
    for name in ["a.jpg", "a.png"] {
        assert!(scratch.file(format!("o/{name}_mask_1.png")).is_file(), "{name}");
    }
}

#[test]
fn no_overlap_gives_each_pixel_to_one_object() {
    let scratch = Scratch::new("track-overlap");
    let frames = frames();
    let areas = |more: &[&str]| -> Vec<u64> {
        let arguments =
            [&[frames.as_str(), "--point", "18,42", "--point", "2:60,60", "--out", "o", "--overwrite"][..], more]
                .concat();
        succeeded(&track(&scratch.0, &arguments));
        let mask = |id: u32| image::open(scratch.file(format!("o/02_mask_{id}.png"))).unwrap().into_luma8();
        let (one, two) = (mask(1), mask(2));
        let inside = |p: &image::Luma<u8>| p.0[0] == 255;
        let both = one.pixels().zip(two.pixels()).filter(|(a, b)| inside(a) && inside(b)).count();
        vec![both as u64, one.pixels().filter(|p| inside(p)).count() as u64]
    };
    let (with, without) = (areas(&["--no-overlap"]), areas(&[]));
    assert!(with[0] < without[0] || without[0] == 0, "{with:?} {without:?}");
    assert_eq!(with[0], 0);
}

/// Writes a script called ffmpeg with the input and output of ffmpeg. It decodes every video to the pictures in `clip.ppm`.
fn fake_ffmpeg(scratch: &Scratch, succeeds: bool) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(scratch.file("bin")).unwrap();
    let end = if succeeds { "exit 0" } else { "echo 'moov atom not found' >&2; exit 1" };
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  -version) exit 0;;\n  -hide_banner*) echo '  Stream #0:0: Video: h264, yuv420p, 160x120, \
         12.50 fps, 12.5 tbr' >&2; exit 1;;\n  *image2pipe*) [ ! -e errors ] || /bin/cat errors >&2; /bin/cat clip.ppm; {end};;\n  *rawvideo*) for last; do :; done; echo \"$*\" \
         > arguments; /bin/cat > \"${{last#file:}}\";;\nesac\n"
    );
    let path = scratch.write("bin/ffmpeg", script);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs `promptseg track` with the script that [`fake_ffmpeg`] wrote.
fn track_with_ffmpeg(scratch: &Scratch, arguments: &[&str]) -> Output {
    let model = golden("video");
    let mut command = command(&scratch.0, &[arguments, &["--model", model.to_str().unwrap()]].concat());
    command.env("PATH", scratch.file("bin")).output().unwrap()
}

/// Returns the first frames of the clip as PPM pictures.
fn ppm(frames: usize) -> Vec<u8> {
    let frame =
        |i: usize| -> RgbImage { image::open(golden(&format!("video/frames/{i:02}.png"))).unwrap().into_rgb8() };
    (0..frames).flat_map(|i| [b"P6\n160 120\n255\n".to_vec(), frame(i).into_raw()].concat()).collect()
}

#[test]
fn ffmpeg_reads_the_clip_and_writes_the_overlay() {
    let scratch = Scratch::new("track-video");
    fake_ffmpeg(&scratch, true);
    scratch.write("clip.ppm", ppm(4));
    scratch.write("clip.mp4", "a video");
    let arguments = ["clip.mp4", "--point", "18,42", "--format", "coco-rle"];
    let video = lines(&succeeded(&track_with_ffmpeg(&scratch, &[&arguments[..], &["--fill-holes", "0"]].concat())));
    assert_eq!(video.len(), 4);
    assert_eq!(video[3]["name"], "000003");
    assert_eq!(
        video[0]["masks"][0]["object_score"].as_f64().map(|s| (s - score("click.0.1.0")).abs() < 1e-3),
        Some(true)
    );
    // Standard output holds lines of JSON alone, and more error messages than a pipe holds do not block ffmpeg.
    scratch.write("errors", "concealing 30 errors\n".repeat(20_000));
    assert_eq!(lines(&succeeded(&track_with_ffmpeg(&scratch, &[&arguments[..], &["--overlay"]].concat()))).len(), 4);
    let message = succeeded(&track_with_ffmpeg(&scratch, &["clip.mp4", "--point", "18,42", "--overlay", "--out", "o"]));
    assert_eq!(message, "o/overlay.mp4\n");
    assert_eq!(std::fs::metadata(scratch.file("o/overlay.mp4")).unwrap().len(), 4 * u64::from(SIZE.0 * SIZE.1 * 3));
    // The input video is not replaced, even if it has the name of the overlay.
    scratch.write("overlay.mp4", "a video");
    let message = refused(&track_with_ffmpeg(&scratch, &[&["overlay.mp4", "--overlay"], &arguments[1..]].concat()), 1);
    assert_says(&message, &["overlay.mp4 is an input and is not replaced"]);
    assert_eq!(std::fs::read(scratch.file("overlay.mp4")).unwrap(), b"a video");
    assert_says(
        &std::fs::read_to_string(scratch.file("arguments")).unwrap(),
        &["-s 160x120 -r 12.5 -i -", "o/overlay.mp4"],
    );
    assert_says(
        &refused(&track_with_ffmpeg(&scratch, &["clip.mp4", "--point", "@9:1,1"]), 1),
        &["has 4 frames", "on frame 9"],
    );
    assert_says(
        &refused(&track_with_ffmpeg(&scratch, &["clip.mp4", "--point", "@2:1,1", "--reverse"]), 2),
        &["forward only"],
    );
}

/// The frames of these files are shown for different times.
#[test]
fn every_frame_of_a_video_is_read_once_at_any_frame_rate() {
    let scratch = Scratch::new("track-rates");
    let model = golden("video");
    for clip in ["variable.mp4", "animated.gif"] {
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rates").join(clip);
        let run = |frame: &str| {
            let arguments = [
                clip.to_str().unwrap(),
                "--point",
                "40,90",
                "--format",
                "coco-rle",
                "--model",
                model.to_str().unwrap(),
            ];
            command(&scratch.0, &[&arguments[..], &["--point", frame]].concat()).output().unwrap()
        };
        let numbers: Vec<_> =
            lines(&succeeded(&run("2@11:260,90"))).iter().map(|l| l["frame"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..12).collect::<Vec<_>>(), "{clip:?}; ffmpeg must be on the PATH");
        assert_says(&refused(&run("2@12:280,90"), 1), &["has 12 frames, but a prompt is on frame 12"]);
    }
    // A video on standard input, and a video whose name looks like a protocol to ffmpeg.
    let gif = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rates/animated.gif");
    std::fs::copy(&gif, scratch.file("a:b.gif")).unwrap();
    let arguments = ["--point", "40,90", "--format", "coco-rle", "--model", model.to_str().unwrap()];
    let from = |clip: &str| command(&scratch.0, &[&[clip], &arguments[..]].concat());
    let named = succeeded(&from("a:b.gif").output().unwrap());
    let piped = succeeded(&from("-").stdin(std::fs::File::open(gif).unwrap()).output().unwrap());
    assert_eq!((named.lines().count(), named == piped), (12, true));
}

#[test]
fn frames_are_ordered_by_the_numbers_in_their_names() {
    let scratch = Scratch::new("track-order");
    std::fs::create_dir(scratch.file("frames")).unwrap();
    let files: Vec<String> = (0..12).map(|i| format!("frames/{i}.png")).collect();
    for (i, file) in files.iter().enumerate() {
        std::fs::copy(golden(&format!("video/frames/{i:02}.png")), scratch.file(file)).unwrap();
    }
    scratch.write("frames/._0.png", "\0\x05\x16\x07");
    // The order in which a shell expands frames/*.png.
    let mut expanded: Vec<&str> = files.iter().map(String::as_str).collect();
    expanded.sort_unstable();
    let reversed: Vec<&str> = files.iter().rev().map(String::as_str).collect();
    let numbers: Vec<String> = (0..12).map(|i| i.to_string()).collect();
    for (arguments, forward) in [(vec!["frames"], true), (vec!["frames/*"], true), (expanded, true), (reversed, false)]
    {
        let message =
            succeeded(&track(&scratch.0, &[&arguments[..], &["--point", "18,42", "--format", "coco-rle"]].concat()));
        let mut names: Vec<String> = lines(&message).iter().map(|l| l["name"].as_str().unwrap().to_owned()).collect();
        if !forward {
            names.reverse();
        }
        assert_eq!(names, numbers, "{arguments:?}");
    }
}

#[test]
fn results_of_frames_before_a_broken_frame_stay() {
    let scratch = Scratch::new("track-broken-frame");
    std::fs::create_dir(scratch.file("frames")).unwrap();
    for i in 0..6 {
        std::fs::copy(golden(&format!("video/frames/{i:02}.png")), scratch.file(format!("frames/{i}.png"))).unwrap();
    }
    scratch.write("frames/4.png", "hello");
    fake_ffmpeg(&scratch, true);
    let arguments = ["frames", "--point", "18,42", "--format", "coco-rle", "--out", "o.jsonl", "--overlay"];
    let output = track_with_ffmpeg(&scratch, &arguments);
    assert_says(&refused(&output, 1), &["frames/4.png: neither JPEG nor PNG", "the 4 frames before it are done"]);
    assert_eq!(scratch::text(&output.stdout), "o.jsonl\noverlay.mp4\n");
    assert_eq!(lines(&std::fs::read_to_string(scratch.file("o.jsonl")).unwrap()).len(), 4);
    assert_eq!(std::fs::metadata(scratch.file("overlay.mp4")).unwrap().len(), 4 * u64::from(SIZE.0 * SIZE.1 * 3));
}

#[test]
fn files_of_others_are_not_replaced_without_overwrite() {
    let scratch = Scratch::new("track-kept");
    std::fs::create_dir(scratch.file("o")).unwrap();
    fake_ffmpeg(&scratch, true);
    let frames = frames();
    for (file, more) in [
        ("o/01_mask_1.png", &["--out", "o"][..]),
        ("o/overlay.mp4", &["--out", "o", "--overlay"]),
        ("o/01.json", &["--out", "o", "--format", "coco-rle"]),
        ("o/all.jsonl", &["--out", "o/all.jsonl", "--format", "coco-rle"]),
    ] {
        scratch.write(file, "drawn by a person");
        let message =
            refused(&track_with_ffmpeg(&scratch, &[&[frames.as_str(), "--point", "18,42"], more].concat()), 1);
        assert_says(&message, &[file, "exists and is not replaced", "--overwrite"]);
        assert_eq!(std::fs::read(scratch.file(file)).unwrap(), b"drawn by a person");
        std::fs::remove_dir_all(scratch.file("o")).unwrap();
        std::fs::create_dir(scratch.file("o")).unwrap();
    }
    let null = ["--format", "coco-rle", "--out", "/dev/null"];
    assert_eq!(
        succeeded(&track(&scratch.0, &[&[frames.as_str(), "--point", "18,42"], &null[..]].concat())),
        "/dev/null\n"
    );
}

#[test]
fn empty_masks_are_refused_before_the_first_frame() {
    let scratch = Scratch::new("track-masks");
    let frames = frames();
    let write = |name: &str, level: u8| {
        let inside = |x: u32, y: u32| u8::from((10..40).contains(&x) && (30..60).contains(&y));
        let image = image::GrayImage::from_fn(160, 120, |x, y| image::Luma([level * inside(x, y)]));
        image.save(scratch.file(name)).unwrap();
    };
    for (name, level) in [("empty.png", 0), ("1.png", 1), ("255.png", 255)] {
        write(name, level);
    }
    let run = |mask: &str| track(&scratch.0, &[&frames, "--mask", mask, "--format", "coco-rle"]);
    let message = refused(&run("2@3:empty.png"), 1);
    assert_says(&message, &["empty.png: mask with nothing inside"]);
    assert_eq!(succeeded(&run("1.png")), succeeded(&run("255.png")));
}

#[test]
fn a_video_that_breaks_off_is_an_error() {
    let scratch = Scratch::new("track-broken-video");
    fake_ffmpeg(&scratch, false);
    scratch.write("clip.mp4", "a video");
    let arguments = ["clip.mp4", "--point", "18,42", "--format", "coco-rle"];
    scratch.write("clip.ppm", &ppm(2)[..80_000]);
    let message = refused(&track_with_ffmpeg(&scratch, &arguments), 1);
    assert_says(&message, &["clip.mp4", "after 1 frames", "moov atom not found"]);
    // ffmpeg's output continues after the picture that is refused.
    scratch.write("clip.ppm", [&b"P6 99999 1 255\n"[..], &[0; 4 << 20]].concat());
    assert_says(&refused(&track_with_ffmpeg(&scratch, &arguments), 1), &["clip.mp4", "99999x1"]);
    scratch.write("clip.ppm", "");
    assert_says(
        &refused(&track_with_ffmpeg(&scratch, &arguments), 1),
        &["neither pictures nor a video", "moov atom not found"],
    );
}

#[test]
fn wrong_arguments_end_with_a_reason() {
    let scratch = Scratch::new("track-wrong");
    let frames = frames();
    for (arguments, code, parts) in [
        (vec![frames.as_str()], 2, vec!["nothing to track"]),
        (vec![&frames, "--point", "@25:1,1"], 2, vec!["on frame 25", "0 to 19"]),
        (vec![&frames, "--point", "x:1,1"], 2, vec!["x:1"]),
        (vec![&frames, "--point", "0:1,1"], 2, vec!["from 1 to 65535"]),
        (vec![&frames, "--box", "0,0,5,5", "--box", "1,1,9,9"], 2, vec!["two boxes on frame 0", "--box 2@0"]),
        (vec![&frames, "--point", "500,1"], 1, vec!["frame 0 (00)", "object 1", "outside the image of 160x120"]),
        (vec![&frames, "--point", "1,1", "--out", "-"], 2, vec!["--out a folder"]),
        (vec![&frames, "--point", "1,1", "--prompted-frames", "17"], 2, vec!["17 is not in 1..=16"]),
        (vec![&frames, "--point", "1,1", "--memories", "7"], 2, vec!["7 is not in 0..=6"]),
        (vec!["nothing.mp4", "--point", "1,1"], 1, vec!["nothing.mp4"]),
        (vec![&frames, "--mask", "small.png"], 1, vec!["small.png", "8x8", "160x120"]),
    ] {
        image::GrayImage::from_pixel(8, 8, image::Luma([255])).save(scratch.file("small.png")).unwrap();
        assert_says(&refused(&track(&scratch.0, &arguments), code), &parts);
    }
}

#[test]
fn without_ffmpeg_a_video_is_refused_with_the_remedy() {
    let scratch = Scratch::new("track-without-ffmpeg");
    scratch.write("a.txt", "no video");
    assert_says(&refused(&track(&scratch.0, &["a.txt", "--point", "1,1"]), 1), &["a.txt", "ffmpeg", "Install"]);
}

#[test]
fn a_model_without_memory_is_refused_with_a_hint() {
    let scratch = Scratch::new("track-without-memory");
    let output = command(&scratch.0, &[&frames(), "--point", "1,1"]).output().unwrap();
    assert_says(&refused(&output, 1), &["tiny has no memory", "SAM 2.1", "promptseg-export"]);
}

#[test]
fn other_commands_do_not_open_the_memory() {
    let bundle = Scratch::with("no-memory", "video");
    bundle.put("memory_attention.onnx", b"no graph");
    let model = bundle.0.to_str().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_promptseg")).current_dir(&bundle.0).args(arguments).output().unwrap()
    };
    let picture = golden("video/frames/00.png");
    let options = ["--model", model, "--threads", "1"];
    succeeded(&run(&[&["segment", picture.to_str().unwrap(), "--point", "18,42"], &options[..]].concat()));
    succeeded(&run(&["bench", model, "--runs", "1", "--threads", "1"]));
    let file = "memory_attention.onnx";
    assert_says(&refused(&run(&[&["track", &frames(), "--point", "18,42"], &options[..]].concat()), 1), &[file]);
}

//! `promptseg track` as its users meet it, with a small SAM 2.1 that has memory.

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

/// With the small model, and without ffmpeg.
fn track(folder: &Path, arguments: &[&str]) -> Output {
    let model = golden("video");
    let mut command = command(folder, &[arguments, &["--model", model.to_str().unwrap()]].concat());
    command.env("PATH", folder.join("nothing")).output().unwrap()
}

fn frames() -> String {
    golden("video/frames").to_str().unwrap().to_owned()
}

fn lines(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The object score that the reference gives.
fn score(key: &str) -> f64 {
    let content = std::fs::read(golden("video/expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&content).unwrap();
    let view = tensors.tensor(&format!("{key}.score")).unwrap();
    f64::from(f32::from_le_bytes(view.data()[..4].try_into().unwrap()))
}

fn close(found: &Value, expected: f64) {
    assert!((found.as_f64().unwrap() - expected).abs() < 1e-3, "{found}, expected {expected}");
}

#[test]
fn a_click_is_followed_as_the_reference_follows_it() {
    let scratch = Scratch::new("track-click");
    let said =
        succeeded(&track(&scratch.0, &[&frames(), "--point", "18,42", "--fill-holes", "0", "--format", "coco-rle"]));
    let lines = lines(&said);
    assert_eq!(lines.len(), 20);
    for (frame, line) in lines.iter().enumerate() {
        assert_eq!((&line["frame"], &line["size"]), (&frame.into(), &serde_json::json!([120, 160])));
        assert_eq!(line["name"], format!("{frame:02}"));
        let mask = &line["masks"][0];
        let expected = score(&format!("click.{}.1.{frame}", usize::from(frame > 0)));
        close(&mask["object_score"], expected);
        // What is not there has no mask.
        assert!(expected > 0.0 || mask["area"] == 0, "{line}");
        assert_eq!(mask["segmentation"]["size"], line["size"]);
    }
}

#[test]
fn objects_come_later_are_corrected_and_are_given_as_masks() {
    let scratch = Scratch::new("track-several");
    let mask = format!("3@7:{}", golden("video/mask_3.png").display());
    let given = ["--point", "18,42", "--box", "2@5:105,24,129,44", "--mask", &mask];
    let frames = frames();
    let all = [&[frames.as_str()][..], &given, &["--format", "coco-rle", "--fill-holes", "0"]].concat();
    let lines = lines(&succeeded(&track(&scratch.0, &all)));
    let objects = |frame: usize| -> Vec<u64> {
        let masks = lines[frame]["masks"].as_array().unwrap();
        masks.iter().map(|mask| mask["object"].as_u64().unwrap()).collect()
    };
    assert_eq!([4, 5, 6, 7, 19].map(|frame| objects(frame).len()), [1, 2, 2, 3, 3]);
    assert_eq!(objects(19), [1, 2, 3]);
    // The second object as the reference has it, whatever else is followed.
    for (frame, line) in lines.iter().enumerate().take(14).skip(6) {
        close(&line["masks"][1]["object_score"], score(&format!("second.3.2.{frame}")));
    }
    assert_eq!((&lines[7]["masks"][2]["iou"], &lines[7]["masks"][2]["object_score"]), (&1.0.into(), &10.0.into()));
}

#[test]
fn against_time_from_the_last_prompt_to_the_first_frame() {
    let scratch = Scratch::new("track-reverse");
    let given = [&frames(), "--point", "@19:142,43", "--reverse", "--fill-holes", "0", "--format", "coco-rle"];
    let lines = lines(&succeeded(&track(&scratch.0, &given)));
    let numbers: Vec<u64> = lines.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..20).rev().collect::<Vec<_>>());
    for frame in 6..19 {
        close(&lines[19 - frame]["masks"][0]["object_score"], score(&format!("reverse.1.1.{frame}")));
    }
}

#[test]
fn pictures_of_masks_and_overlays_go_into_a_folder() {
    let scratch = Scratch::new("track-pictures");
    let given = [&frames(), "--point", "18,42", "--box", "2@3:105,24,129,44", "--overlay", "--out", "tracked"];
    assert_eq!(succeeded(&track(&scratch.0, &given)), "");
    let count = |end: &str| {
        let entries = std::fs::read_dir(scratch.file("tracked")).unwrap();
        entries.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().ends_with(end)).count()
    };
    assert_eq!((count("_mask_1.png"), count("_mask_2.png"), count("_overlay.png")), (20, 17, 20));
    let mask = image::open(scratch.file("tracked/04_mask_1.png")).unwrap();
    assert_eq!((mask.width(), mask.height(), mask.color()), (160, 120, image::ColorType::L8));
    // One file of run lengths.
    let given = [&frames(), "--point", "18,42", "--format", "coco-rle", "--out", "tracked/all.jsonl"];
    assert_eq!(succeeded(&track(&scratch.0, &given)), "tracked/all.jsonl\n");
    assert_eq!(lines(&std::fs::read_to_string(scratch.file("tracked/all.jsonl")).unwrap()).len(), 20);
}

#[test]
fn two_pictures_of_one_name_have_two_masks() {
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
fn no_pixel_has_two_objects_where_that_is_asked_for() {
    let scratch = Scratch::new("track-overlap");
    let frames = frames();
    let areas = |more: &[&str]| -> Vec<u64> {
        let given =
            [&[frames.as_str(), "--point", "18,42", "--point", "2:60,60", "--out", "o", "--overwrite"][..], more]
                .concat();
        succeeded(&track(&scratch.0, &given));
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

/// A program called ffmpeg that reads and writes as ffmpeg does; the clip's pictures are in `clip.ppm`.
fn fake_ffmpeg(scratch: &Scratch, ends_well: bool) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(scratch.file("bin")).unwrap();
    let end = if ends_well { "exit 0" } else { "echo 'moov atom not found' >&2; exit 1" };
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  -version) exit 0;;\n  -hide_banner*) echo '  Stream #0:0: Video: h264, yuv420p, 160x120, \
         12.50 fps, 12.5 tbr' >&2; exit 1;;\n  *image2pipe*) [ ! -e complaints ] || /bin/cat complaints >&2; /bin/cat clip.ppm; {end};;\n  *rawvideo*) for last; do :; done; echo \"$*\" \
         > arguments; /bin/cat > \"${{last#file:}}\";;\nesac\n"
    );
    let path = scratch.write("bin/ffmpeg", script);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn through_ffmpeg(scratch: &Scratch, arguments: &[&str]) -> Output {
    let model = golden("video");
    let mut command = command(&scratch.0, &[arguments, &["--model", model.to_str().unwrap()]].concat());
    command.env("PATH", scratch.file("bin")).output().unwrap()
}

fn ppm(frames: usize) -> Vec<u8> {
    let frame =
        |i: usize| -> RgbImage { image::open(golden(&format!("video/frames/{i:02}.png"))).unwrap().into_rgb8() };
    (0..frames).flat_map(|i| [b"P6\n160 120\n255\n".to_vec(), frame(i).into_raw()].concat()).collect()
}

#[test]
fn a_video_comes_from_ffmpeg_and_goes_to_it() {
    let scratch = Scratch::new("track-video");
    fake_ffmpeg(&scratch, true);
    scratch.write("clip.ppm", ppm(4));
    scratch.write("clip.mp4", "what ffmpeg would read");
    let given = ["clip.mp4", "--point", "18,42", "--format", "coco-rle"];
    let video = lines(&succeeded(&through_ffmpeg(&scratch, &[&given[..], &["--fill-holes", "0"]].concat())));
    assert_eq!(video.len(), 4);
    assert_eq!(video[3]["name"], "000003");
    assert_eq!(
        video[0]["masks"][0]["object_score"].as_f64().map(|s| (s - score("click.0.1.0")).abs() < 1e-3),
        Some(true)
    );
    // Nothing but lines of JSON, whatever else is written; and more complaints than a pipe takes hold nothing up.
    scratch.write("complaints", "concealing 30 errors\n".repeat(20_000));
    assert_eq!(lines(&succeeded(&through_ffmpeg(&scratch, &[&given[..], &["--overlay"]].concat()))).len(), 4);
    let said = succeeded(&through_ffmpeg(&scratch, &["clip.mp4", "--point", "18,42", "--overlay", "--out", "o"]));
    assert_eq!(said, "o/overlay.mp4\n");
    assert_eq!(std::fs::metadata(scratch.file("o/overlay.mp4")).unwrap().len(), 4 * u64::from(SIZE.0 * SIZE.1 * 3));
    // The video itself is not written over, even where it has the name of the overlay.
    scratch.write("overlay.mp4", "what ffmpeg would read");
    let said = refused(&through_ffmpeg(&scratch, &[&["overlay.mp4", "--overlay"], &given[1..]].concat()), 1);
    assert_says(&said, &["overlay.mp4 was given and stays as it is"]);
    assert_eq!(std::fs::read(scratch.file("overlay.mp4")).unwrap(), b"what ffmpeg would read");
    assert_says(
        &std::fs::read_to_string(scratch.file("arguments")).unwrap(),
        &["-s 160x120 -r 12.5 -i -", "o/overlay.mp4"],
    );
    assert_says(
        &refused(&through_ffmpeg(&scratch, &["clip.mp4", "--point", "@9:1,1"]), 1),
        &["has 4 frames", "on frame 9"],
    );
    assert_says(
        &refused(&through_ffmpeg(&scratch, &["clip.mp4", "--point", "@2:1,1", "--reverse"]), 2),
        &["forward only"],
    );
}

/// Its times are not its frames: some stay longer than others.
#[test]
fn every_frame_of_a_file_comes_once_whatever_its_rate() {
    let scratch = Scratch::new("track-rates");
    let model = golden("video");
    for clip in ["variable.mp4", "animated.gif"] {
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rates").join(clip);
        let run = |frame: &str| {
            let given = [
                clip.to_str().unwrap(),
                "--point",
                "40,90",
                "--format",
                "coco-rle",
                "--model",
                model.to_str().unwrap(),
            ];
            command(&scratch.0, &[&given[..], &["--point", frame]].concat()).output().unwrap()
        };
        let numbers: Vec<_> =
            lines(&succeeded(&run("2@11:260,90"))).iter().map(|l| l["frame"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..12).collect::<Vec<_>>(), "{clip:?}; ffmpeg must be on the PATH");
        assert_says(&refused(&run("2@12:280,90"), 1), &["has 12 frames, and a prompt is on frame 12"]);
    }
    // A video on the standard input, and one whose name ffmpeg would take for a protocol.
    let gif = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rates/animated.gif");
    std::fs::copy(&gif, scratch.file("a:b.gif")).unwrap();
    let given = ["--point", "40,90", "--format", "coco-rle", "--model", model.to_str().unwrap()];
    let from = |clip: &str| command(&scratch.0, &[&[clip], &given[..]].concat());
    let named = succeeded(&from("a:b.gif").output().unwrap());
    let piped = succeeded(&from("-").stdin(std::fs::File::open(gif).unwrap()).output().unwrap());
    assert_eq!((named.lines().count(), named == piped), (12, true));
}

#[test]
fn frames_come_in_the_order_of_their_numbers() {
    let scratch = Scratch::new("track-order");
    std::fs::create_dir(scratch.file("frames")).unwrap();
    let files: Vec<String> = (0..12).map(|i| format!("frames/{i}.png")).collect();
    for (i, file) in files.iter().enumerate() {
        std::fs::copy(golden(&format!("video/frames/{i:02}.png")), scratch.file(file)).unwrap();
    }
    scratch.write("frames/._0.png", "\0\x05\x16\x07");
    // As a shell expands frames/*.png.
    let mut expanded: Vec<&str> = files.iter().map(String::as_str).collect();
    expanded.sort_unstable();
    let reversed: Vec<&str> = files.iter().rev().map(String::as_str).collect();
    let numbers: Vec<String> = (0..12).map(|i| i.to_string()).collect();
    for (given, forward) in [(vec!["frames"], true), (vec!["frames/*"], true), (expanded, true), (reversed, false)] {
        let said = succeeded(&track(&scratch.0, &[&given[..], &["--point", "18,42", "--format", "coco-rle"]].concat()));
        let mut names: Vec<String> = lines(&said).iter().map(|l| l["name"].as_str().unwrap().to_owned()).collect();
        if !forward {
            names.reverse();
        }
        assert_eq!(names, numbers, "{given:?}");
    }
}

#[test]
fn what_came_before_a_broken_frame_stays() {
    let scratch = Scratch::new("track-broken-frame");
    std::fs::create_dir(scratch.file("frames")).unwrap();
    for i in 0..6 {
        std::fs::copy(golden(&format!("video/frames/{i:02}.png")), scratch.file(format!("frames/{i}.png"))).unwrap();
    }
    scratch.write("frames/4.png", "hello");
    fake_ffmpeg(&scratch, true);
    let given = ["frames", "--point", "18,42", "--format", "coco-rle", "--out", "o.jsonl", "--overlay"];
    let output = through_ffmpeg(&scratch, &given);
    assert_says(&refused(&output, 1), &["frames/4.png: neither JPEG nor PNG", "the 4 frames before it are done"]);
    assert_eq!(scratch::text(&output.stdout), "o.jsonl\noverlay.mp4\n");
    assert_eq!(lines(&std::fs::read_to_string(scratch.file("o.jsonl")).unwrap()).len(), 4);
    assert_eq!(std::fs::metadata(scratch.file("overlay.mp4")).unwrap().len(), 4 * u64::from(SIZE.0 * SIZE.1 * 3));
}

#[test]
fn a_file_that_the_run_did_not_make_is_never_replaced() {
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
        scratch.write(file, "drawn by somebody");
        let said = refused(&through_ffmpeg(&scratch, &[&[frames.as_str(), "--point", "18,42"], more].concat()), 1);
        assert_says(&said, &[file, "exists and stays as it is", "--overwrite"]);
        assert_eq!(std::fs::read(scratch.file(file)).unwrap(), b"drawn by somebody");
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
fn masks_with_nothing_inside_are_refused_before_the_first_frame() {
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
    let said = refused(&run("2@3:empty.png"), 1);
    assert_says(&said, &["empty.png: mask with nothing inside"]);
    assert_eq!(succeeded(&run("1.png")), succeeded(&run("255.png")));
}

#[test]
fn a_video_that_breaks_off_is_said() {
    let scratch = Scratch::new("track-broken-video");
    fake_ffmpeg(&scratch, false);
    scratch.write("clip.mp4", "what ffmpeg would read");
    let given = ["clip.mp4", "--point", "18,42", "--format", "coco-rle"];
    scratch.write("clip.ppm", &ppm(2)[..80_000]);
    let said = refused(&through_ffmpeg(&scratch, &given), 1);
    assert_says(&said, &["clip.mp4", "after 1 frames", "moov atom not found"]);
    // It would go on for long after the picture that is refused.
    scratch.write("clip.ppm", [&b"P6 99999 1 255\n"[..], &[0; 4 << 20]].concat());
    assert_says(&refused(&through_ffmpeg(&scratch, &given), 1), &["clip.mp4", "99999x1"]);
    scratch.write("clip.ppm", "");
    assert_says(
        &refused(&through_ffmpeg(&scratch, &given), 1),
        &["neither pictures nor a video", "moov atom not found"],
    );
}

#[test]
fn what_cannot_be_meant_is_said() {
    let scratch = Scratch::new("track-wrong");
    let frames = frames();
    for (given, code, says) in [
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
        (vec!["a.txt", "--point", "1,1"], 1, vec!["a.txt", "ffmpeg", "Install"]),
        (vec![&frames, "--mask", "small.png"], 1, vec!["small.png", "8x8", "160x120"]),
    ] {
        scratch.write("a.txt", "no video");
        image::GrayImage::from_pixel(8, 8, image::Luma([255])).save(scratch.file("small.png")).unwrap();
        assert_says(&refused(&track(&scratch.0, &given), code), &says);
    }
}

#[test]
fn a_model_without_memory_says_which_have_it() {
    let scratch = Scratch::new("track-without-memory");
    let output = command(&scratch.0, &[&frames(), "--point", "1,1"]).output().unwrap();
    assert_says(&refused(&output, 1), &["tiny has no memory", "SAM 2.1", "promptseg-export"]);
}

#[test]
fn who_does_not_track_opens_no_memory() {
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
    let says = "memory_attention.onnx";
    assert_says(&refused(&run(&[&["track", &frames(), "--point", "18,42"], &options[..]].concat()), 1), &[says]);
}

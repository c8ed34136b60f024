//! The demo's pictures: drawn, written as JPEG, read back and made small.

use std::path::Path;

use anyhow::{Context as _, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageReader, Rgb, RgbImage};

/// The size at which a picture is drawn, before it is blown up to the size of a photo.
const SKETCH: (u32, u32) = (320, 240);
/// The size of a photo.
pub(super) const PHOTO: (u32, u32) = (1_600, 1_200);
/// The size of the big one, which takes a while.
pub(super) const PANORAMA: (u32, u32) = (3_200, 2_400);
/// How often a point may jump before it counts as caught.
const JUMPS_MAX: u32 = 60;

/// Draws the picture of this number, and writes it to `path`.
pub(super) fn draw(path: &Path, number: u32, (width, height): (u32, u32)) -> Result<()> {
    let picture = image::imageops::resize(&sketch(number), width, height, FilterType::Triangle);
    write(path, &picture)
}

/// Reads the picture at `from`, and writes it, `width` pixels wide, to `to`. Returns both sizes.
pub(super) fn shrink(from: &Path, to: &Path, width: u32) -> Result<((u32, u32), (u32, u32))> {
    let picture = ImageReader::open(from).with_context(|| from.display().to_string())?.decode()?.into_rgb8();
    let size = picture.dimensions();
    let height = (size.1 * width / size.0).max(1);
    let small = image::imageops::resize(&picture, width, height, FilterType::Lanczos3);
    write(to, &small)?;
    Ok((size, small.dimensions()))
}

/// Written beside and then moved into place: whoever sees the file sees all of it, even if we are killed.
fn write(path: &Path, picture: &RgbImage) -> Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&part)?);
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, 88))?;
    std::io::Write::flush(&mut file)?;
    std::fs::rename(&part, path).with_context(|| path.display().to_string())
}

/// A Julia set, another one for each number.
fn sketch(number: u32) -> RgbImage {
    let turn = f64::from(number) * 0.61;
    let (c_re, c_im) = (0.7885 * turn.cos(), 0.7885 * turn.sin());
    let (width, height) = (f64::from(SKETCH.0), f64::from(SKETCH.1));
    RgbImage::from_fn(SKETCH.0, SKETCH.1, |x, y| {
        let (mut re, mut im) = ((f64::from(x) / width - 0.5) * 3.2, (f64::from(y) / height - 0.5) * 2.4);
        let mut jumps = 0;
        while jumps < JUMPS_MAX && re * re + im * im < 4.0 {
            (re, im) = (re * re - im * im + c_re, 2.0 * re * im + c_im);
            jumps += 1;
        }
        let heat = f64::from(jumps) / f64::from(JUMPS_MAX);
        let hue = turn + heat * 4.0;
        Rgb([shade(hue, heat), shade(hue + 2.1, heat), shade(hue + 4.2, heat)])
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 255")]
fn shade(hue: f64, heat: f64) -> u8 {
    (255.0 * (0.15 + 0.85 * heat) * (0.5 + 0.5 * hue.cos())) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_made_small_in_proportion() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a.jpg"), dir.path().join("b.jpg"));
        draw(&from, 3, (400, 300)).unwrap();
        assert_eq!(shrink(&from, &to, 100).unwrap(), ((400, 300), (100, 75)));
        assert_eq!(image::image_dimensions(&to).unwrap(), (100, 75));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no half-written file is left");
    }
}

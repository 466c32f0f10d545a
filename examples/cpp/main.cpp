// Depth and cameras of photographs with OpenVINO. The graph takes pixels as they are (depthport export --source-size HxW):
// it resizes and normalises them itself, and no line here does.
//
//     build/depth model.onnx left.ppm right.ppm
//
// Photographs are binary PPM of HEIGHT×WIDTH pixels (`convert photo.jpg photo.ppm`). Writes one depth-N.pfm a view.
#include "model.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <stdexcept>
#include <string>

namespace {

constexpr std::size_t PIXELS = HEIGHT * WIDTH * 3;

void read_ppm(const std::string &path, std::uint8_t *rgb) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    std::size_t width = 0, height = 0, most = 0;
    file >> magic >> width >> height >> most;
    file.get();
    if (magic != "P6" || width != WIDTH || height != HEIGHT || most != 255)
        throw std::runtime_error(path + " is not a binary PPM of " + std::to_string(WIDTH) + "x" + std::to_string(HEIGHT));
    file.read(reinterpret_cast<char *>(rgb), PIXELS);
    if (static_cast<std::size_t>(file.gcount()) != PIXELS)
        throw std::runtime_error(path + " ends too early");
}

void write_pfm(const std::string &path, const float *depth, std::size_t height, std::size_t width) {
    std::ofstream file(path, std::ios::binary);
    file << "Pf\n" << width << ' ' << height << "\n-1.0\n";  // rows from the bottom up, little-endian
    for (std::size_t row = height; row-- > 0;)
        file.write(reinterpret_cast<const char *>(depth + row * width), static_cast<std::streamsize>(width * sizeof(float)));
    if (!file)
        throw std::runtime_error("can't write " + path);
}

void print(const char *name, const ov::Tensor &tensor) {
    std::printf("%s", name);
    for (std::size_t i = 0; i < tensor.get_size(); ++i)
        std::printf(" %.9g", static_cast<double>(tensor.data<float>()[i]));
    std::printf("\n");
}

void run(const std::string &model, char **photographs) {
    ov::Core core;
    // Without the hint a CPU that can takes bf16, in which depth is another.
    auto compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = compiled.create_infer_request();
    ov::Tensor image(ov::element::u8, {1, VIEWS, HEIGHT, WIDTH, 3});
    for (std::size_t view = 0; view < VIEWS; ++view)
        read_ppm(photographs[view], image.data<std::uint8_t>() + view * PIXELS);
    request.set_tensor("image", image);
    request.infer();
    const auto depth = request.get_tensor("depth");
    const auto shape = depth.get_shape();  // (1, N, H, W)
    for (std::size_t view = 0; view < VIEWS; ++view)
        write_pfm("depth-" + std::to_string(view) + ".pfm", depth.data<float>() + view * shape[2] * shape[3], shape[2], shape[3]);
    print("extrinsics", request.get_tensor("extrinsics"));
    print("intrinsics", request.get_tensor("intrinsics"));
}

}  // namespace

int main(int count, char **words) {
    if (count != static_cast<int>(VIEWS) + 2) {
        std::cerr << "give the model and " << VIEWS << " photographs\n";
        return 2;
    }
    try {
        run(words[1], words + 2);
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}

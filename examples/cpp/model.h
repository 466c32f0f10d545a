// What the model takes. `depthport sample` writes these lines for an artifact.
#pragma once
#include <cstddef>

// depthport:begin
constexpr std::size_t VIEWS = 1, HEIGHT = 504, WIDTH = 504;
// depthport:end

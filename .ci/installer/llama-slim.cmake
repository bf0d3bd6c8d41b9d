# Read by CMake right after llama.cpp's own project() line (CMAKE_PROJECT_llama.cpp_INCLUDE).
#
# llama-cpp-python forces LLAMA_BUILD_COMMON=ON in the cache, for parts that it then neither
# ships nor binds (HTTP downloads, a chat parser, sampling helpers). A normal variable hides the
# cached one, so the build leaves them out: 1 min 50 s in place of 5 min 20 s on two cores.
set(LLAMA_BUILD_COMMON OFF)

# pangu_room(NAME [TORCH | TORCH_NN] [EXCEPT groups...] [FROM folders...] [DEPS rooms...]): library pangu_NAME from the
# .cpp files of src/NAME and of the groups below it (src/NAME/GROUP) and, from their *_test.cpp, one doctest
# executable NAME_test. A room links exactly the rooms in its row. EXCEPT: groups of it that belong to another library.
# FROM: the folders below src/ that the library is made of, where they are such groups.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)

add_library(pangu_flags INTERFACE)
target_include_directories(pangu_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(pangu_flags INTERFACE -Wall -Wextra -Werror)
# For shared libraries. An option of all, not a property of some: a precompiled header serves units of equal flags only.
target_compile_options(pangu_flags INTERFACE -fPIC)
if(PANGU_MARCH)
  target_compile_options(pangu_flags INTERFACE -march=${PANGU_MARCH})
endif()
if(PANGU_SANITIZE)
  # fuzzer-no-link: the unit tests and the fuzzers link the same objects.
  target_compile_options(pangu_flags INTERFACE -fsanitize=address,undefined,fuzzer-no-link
                         -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(pangu_flags INTERFACE -fsanitize=address,undefined)
endif()

# rapidcheck's seed is fixed, as that of the fuzzers: what passed passes again. RC_PARAMS by hand draws others.
set(PANGU_TEST_ENVIRONMENT RC_PARAMS=seed=1)
# Of tests that run diffusers and transformers on tiny models: one thread is the fastest, and the bytecode of
# these libraries is kept, for compiling it anew costs every script several seconds.
set(PANGU_REFERENCE_ENVIRONMENT OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
    PYTHONPYCACHEPREFIX=${CMAKE_BINARY_DIR}/pycache)

# Third-party libraries of a room, beside nlohmann-json.
set(PANGU_ROOM_io_PKGS zlib)
set(PANGU_ROOM_image_PKGS spng libturbojpeg libwebp)
set(PANGU_ROOM_text_PKGS libutf8proc zlib)
set(PANGU_ROOM_serve_PKGS sqlite3 libpq libcurl libcrypto)

# A unit that includes libtorch costs seconds before its first own line is compiled, so a whole build is several
# times faster in units of a dozen files. After a change of one file small units are.
option(PANGU_UNITY "Compile the torch rooms in units of a dozen files" OFF)
set(PANGU_UNITY_FILES 12)

function(pangu_room name)
  cmake_parse_arguments(ARG "TORCH;TORCH_NN" "" "DEPS;EXCEPT;FROM" ${ARGN})
  set(all "")
  if(NOT ARG_FROM)
    set(ARG_FROM ${name})
  endif()
  foreach(folder ${ARG_FROM})
    set(dir ${CMAKE_SOURCE_DIR}/src/${folder})
    file(GLOB found CONFIGURE_DEPENDS ${dir}/*.cpp ${dir}/*/*.cpp)
    list(APPEND all ${found})
  endforeach()
  foreach(group ${ARG_EXCEPT})
    list(FILTER all EXCLUDE REGEX "/src/${name}/${group}/")
  endforeach()
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  if(NOT sources)
    add_library(pangu_${name} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(pangu_${name} STATIC ${sources})
    set(scope PUBLIC)
  endif()
  target_link_libraries(pangu_${name} ${scope} pangu_flags nlohmann_json::nlohmann_json Threads::Threads)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(pangu_${name} ${scope} pangu_${dep})
  endforeach()
  foreach(pkg ${PANGU_ROOM_${name}_PKGS})
    pkg_check_modules(PKG_${pkg} REQUIRED IMPORTED_TARGET ${pkg})
    target_link_libraries(pangu_${name} ${scope} PkgConfig::PKG_${pkg})
  endforeach()
  set(pch "")
  if(ARG_TORCH)
    set(pch pangu_pch)
  elseif(ARG_TORCH_NN)
    set(pch pangu_pch_nn)
  endif()
  if(pch)
    target_link_libraries(pangu_${name} ${scope} pangu_torch)
    if(sources)
      target_precompile_headers(pangu_${name} REUSE_FROM ${pch})
      set_target_properties(pangu_${name} PROPERTIES UNITY_BUILD ${PANGU_UNITY}
                            UNITY_BUILD_BATCH_SIZE ${PANGU_UNITY_FILES})
      if(PANGU_UNITY)
        # In such a unit gcc takes a .cpp file for a header, whose classes should hold nothing of an anonymous namespace.
        target_compile_options(pangu_${name} PRIVATE -Wno-subobject-linkage)
      endif()
    endif()
  endif()
  if(PANGU_TESTS AND tests)
    pangu_test(${name}_test "${pch}" SOURCES ${tests} LIBS pangu_${name})
  endif()
endfunction()

if(PANGU_TESTS)
  add_library(pangu_doctest OBJECT ${CMAKE_SOURCE_DIR}/tests/doctest_main.cpp)
  target_link_libraries(pangu_doctest PRIVATE pangu_flags)
  target_compile_definitions(pangu_doctest PRIVATE PANGU_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             PANGU_PYTHON="${PANGU_PYTHON}")
endif()

# pangu_test(NAME [precompiled header or ""] [SPLIT KIND] SOURCES ... LIBS ...): a doctest executable known to ctest,
# as one test or as KIND_FILE for each of its files.
function(pangu_test name pch)
  cmake_parse_arguments(ARG "" "SPLIT" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} pangu_doctest rapidcheck)
  if(pch)
    target_precompile_headers(${name} REUSE_FROM ${pch})
  endif()
  if(NOT ARG_SPLIT)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "${PANGU_TEST_ENVIRONMENT}")
    return()
  endif()
  foreach(source ${ARG_SOURCES})
    get_filename_component(file ${source} NAME)
    string(REPLACE _test.cpp "" file ${file})
    add_test(NAME ${ARG_SPLIT}_${file} COMMAND ${name} --source-file=*/${file}_test.cpp)
    set_tests_properties(${ARG_SPLIT}_${file} PROPERTIES TIMEOUT 600 COST 100
                         ENVIRONMENT "${PANGU_REFERENCE_ENVIRONMENT};${PANGU_TEST_ENVIRONMENT}")
  endforeach()
endfunction()

# Tests that cross rooms: every tests/KIND/*_test.cpp in one executable KIND_test.
# With SPLIT each file is a test of its own, KIND_FILE.
function(pangu_crossing_tests kind)
  cmake_parse_arguments(ARG "SPLIT" "" "" ${ARGN})
  if(NOT PANGU_TESTS)
    return()
  endif()
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${kind}/*_test.cpp)
  if(tests)
    if(ARG_SPLIT)
      set(split SPLIT ${kind})
    endif()
    pangu_test(${kind}_test pangu_pch_nn ${split} SOURCES ${tests} LIBS pangu_app_training)
  endif()
endfunction()

# One libFuzzer target for every tests/fuzz/*_fuzz.cpp; that of the server needs its packages.
function(pangu_fuzzers)
  file(GLOB fuzzers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/*_fuzz.cpp)
  foreach(source ${fuzzers})
    get_filename_component(name ${source} NAME_WE)
    if(name STREQUAL serve_fuzz AND NOT PANGU_SERVER)
      continue()
    endif()
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE pangu_core pangu_io pangu_image pangu_text pangu_data)
    if(name STREQUAL serve_fuzz)
      target_link_libraries(${name} PRIVATE pangu_serve)
    endif()
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endforeach()
endfunction()

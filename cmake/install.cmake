# cmake --install: bin/pangu-draw, lib/ with its library and what that needs but glibc, share/pangu-draw with the
# embedded models, examples and configurations. The folder can be moved: run paths are relative to the program.
set(PANGU_LIBRARIES_OF_THE_SYSTEM "^ld-linux" "^lib(c|m|dl|rt|pthread)[.]so")

set(PANGU_OWN_LIBRARIES pangu_draw pangu_training)
if(PANGU_SERVER)
  list(APPEND PANGU_OWN_LIBRARIES pangu_server)
endif()
list(TRANSFORM PANGU_OWN_LIBRARIES REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE own_files)
list(JOIN own_files " " own_files)
install(TARGETS pangu-draw RUNTIME DESTINATION bin)
install(TARGETS ${PANGU_OWN_LIBRARIES} LIBRARY DESTINATION lib)
set_target_properties(${PANGU_OWN_LIBRARIES} PROPERTIES INSTALL_RPATH "\$ORIGIN")
install(CODE "set(own ${own_files})
set(needed_by $<TARGET_FILE:pangu-draw> \${own})
set(of_the_system \"${PANGU_LIBRARIES_OF_THE_SYSTEM}\")")
install(CODE [[
  file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${needed_by} RESOLVED_DEPENDENCIES_VAR needed
       PRE_EXCLUDE_REGEXES ${of_the_system})
  list(REMOVE_ITEM needed ${own})
  set(licences ${CMAKE_INSTALL_PREFIX}/share/doc/pangu-draw/licences)
  foreach(library ${needed})
    file(INSTALL ${library} DESTINATION ${CMAKE_INSTALL_PREFIX}/lib FOLLOW_SYMLINK_CHAIN)
    # The licence of a library of the system is that of its Debian package.
    file(REAL_PATH ${library} real)
    execute_process(COMMAND dpkg-query -S ${real} OUTPUT_VARIABLE package ERROR_QUIET)
    string(REGEX REPLACE ":.*" "" package "${package}")
    if(package AND EXISTS /usr/share/doc/${package}/copyright)
      file(INSTALL /usr/share/doc/${package}/copyright DESTINATION ${licences} RENAME ${package})
    endif()
  endforeach()
]])
file(GLOB torch_licences ${torch_root}/../torch-*.dist-info/licenses/LICENSE
     ${torch_root}/../torch-*.dist-info/licenses/NOTICE)
install(FILES ${torch_licences} DESTINATION share/doc/pangu-draw/licences/libtorch)
install(DIRECTORY models examples configs DESTINATION share/pangu-draw)
install(FILES LICENSE NOTICE README.md CHANGELOG.md DESTINATION share/doc/pangu-draw)
# The page of the server, one built file.
if(EXISTS ${CMAKE_SOURCE_DIR}/web/dist/index.html)
  install(FILES web/dist/index.html DESTINATION share/pangu-draw/web/dist)
endif()

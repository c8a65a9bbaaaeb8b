# Parts that a build may leave out. weir_parts(DRIVER|UPLINK|COMMAND NAME...) makes an option of each (WEIR_DRIVER_MQTT, ON unless said
# otherwise), and BUILD/parts/drivers_built.h, uplinks_built.h or commands_built.h with two lists: of those that are built, and of those
# left out. NAME is the type in a configuration, its class is NAME_class; or the command's word. Another part is another name in the call,
# and nothing else: what no list names is not linked.
set(WEIR_PARTS ${CMAKE_BINARY_DIR}/parts)
function(weir_parts kind)
  set(built "")
  set(left_out "")
  foreach(name ${ARGN})
    string(TOUPPER "${name}" upper)
    string(TOLOWER "${kind}" lower)
    option(WEIR_${kind}_${upper} "the ${lower} ${name}" ON)
    if(WEIR_${kind}_${upper})
      string(APPEND built " PART(${name})")
    else()
      string(APPEND left_out " PART(${name})")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${WEIR_PARTS}/${lower}s_built.h @ONLY CONTENT
    "/* Made by ports/parts.cmake. */\n#define ${kind}S_BUILT(PART)@built@\n#define ${kind}S_LEFT_OUT(PART)@left_out@\n")
endfunction()

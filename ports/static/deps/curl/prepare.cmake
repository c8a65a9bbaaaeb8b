# What curl says while it works is left out (nobody listens); what its error codes mean stays.
set(file ${SRC}/lib/strerror.c)
file(READ ${file} text)
string(REGEX REPLACE "#ifn?def(ined)? *\\(?CURL_DISABLE_VERBOSE_STRINGS\\)?" "#if 1" changed "${text}")
if(changed STREQUAL text AND NOT text MATCHES "#if 1")
  message(FATAL_ERROR "curl: the texts of its errors are not where this script looks: ${file}")
endif()
file(WRITE ${file} "${changed}")

# A tunnel through a proxy that speaks HTTP/2 is not asked for by any option.
set(file ${SRC}/lib/http_proxy.c)
file(READ ${file} text)
string(REPLACE "#ifdef USE_NGHTTP2\n    case CURL_HTTP_VERSION_2:" "#if 0\n    case CURL_HTTP_VERSION_2:" changed "${text}")
if(changed STREQUAL text AND NOT text MATCHES "#if 0\n    case CURL_HTTP_VERSION_2:")
  message(FATAL_ERROR "curl: the tunnel by HTTP/2 is not where this script looks: ${file}")
endif()
file(WRITE ${file} "${changed}")

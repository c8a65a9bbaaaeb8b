# With its last client Paho ends, and leaves the pair of sockets open that it made with the first one: two descriptors each time that the only MQTT
# driver is opened anew.
set(file ${SRC}/src/Socket.c)
if(NOT EXISTS ${file})
  set(file ${SRC}/paho.mqtt.c/src/Socket.c)
endif()
file(READ ${file} text)
if(NOT text MATCHES "close\\(sockfd\\[0\\]\\)")
  string(REPLACE "void Socket_outTerminate(void)\n{\n\tFUNC_ENTRY;\n"
    "void Socket_outTerminate(void)\n{\n\tFUNC_ENTRY;\n\tclose(sockfd[0]);\n\tclose(sockfd[1]);\n" changed "${text}")
  if(changed STREQUAL text)
    message(FATAL_ERROR "paho: Socket_outTerminate() is not where this script looks: ${file}")
  endif()
  file(WRITE ${file} "${changed}")
endif()

#!/usr/bin/env bash
# Apache ActiveMQ Artemis: another maker's MQTT 3.1.1 and 5 broker on 127.0.0.1, durable below DIR, anybody may log in.
# usage: artemis.sh install
#        artemis.sh start DIR PORT
#        artemis.sh resume DIR            start again: same data
#        artemis.sh stop DIR              clean shutdown
# Needs Java 17 and, the first time, Maven.
version=2.40.0
maker=artemis
. "$(dirname "$0")/java_broker.sh"

configure() {
  mkdir -p "$dir/etc"
  echo '<management-context xmlns="http://activemq.apache.org/schema"/>' >"$dir/etc/management.xml"
  echo 'anybody { org.apache.activemq.artemis.spi.core.security.jaas.GuestLoginModule sufficient; };' >"$dir/etc/login.config"
  cat >"$dir/etc/bootstrap.xml" <<EOF
<broker xmlns="http://activemq.apache.org/schema">
  <jaas-security domain="anybody"/>
  <server configuration="file:$dir/etc/broker.xml"/>
</broker>
EOF
  cat >"$dir/etc/broker.xml" <<EOF
<configuration xmlns="urn:activemq">
  <core xmlns="urn:activemq:core">
    <name>test</name>
    <security-enabled>false</security-enabled>
    <journal-type>NIO</journal-type>
    <bindings-directory>$dir/data/bindings</bindings-directory>
    <journal-directory>$dir/data/journal</journal-directory>
    <large-messages-directory>$dir/data/large</large-messages-directory>
    <paging-directory>$dir/data/paging</paging-directory>
    <!-- by default a message that was sent ten times is thrown away -->
    <address-settings>
      <address-setting match="#"><max-delivery-attempts>-1</max-delivery-attempts></address-setting>
    </address-settings>
    <acceptors><acceptor name="mqtt">tcp://127.0.0.1:$port?protocols=MQTT</acceptor></acceptors>
  </core>
</configuration>
EOF
}

run() {
  configure
  jvm -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dartemis.home="$dir" -Dartemis.instance="$dir" \
    -Dartemis.instance.etc="$dir/etc" -Ddata.dir="$dir/data" -Djava.security.auth.login.config="$dir/etc/login.config" \
    org.apache.activemq.artemis.cli.Artemis run
}

service "$@"

/* The probe of the uplink `kafka` (ports/probe.h): every broker of `brokers`, and every one that the
 * cluster names, is looked up, connected to and logged in at; the first that lets us in is asked for
 * topics, rights, a producer id, and the topics' settings; the registry is asked about the schemas.
 * Nothing is written: no topic is created, no schema registered. */
#ifndef WEIR_UPLINK_KAFKA_PROBE_H
#define WEIR_UPLINK_KAFKA_PROBE_H

#include "ports/probe.h"

enum err kafka_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

#endif

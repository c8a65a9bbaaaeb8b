// pubsubfake serves pstest, the in-memory Pub/Sub of Google's own Go client, as gRPC on a loopback port; by TLS on the next one if asked to.
package main

import (
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"

	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // accept compressed requests, as the service does
	"google.golang.org/grpc/status"
)

// faults refuses every n-th Publish with a status code.
type faults struct {
	every, code int64
	calls       atomic.Int64
}

func (f *faults) React(interface{}) (handled bool, ret interface{}, err error) {
	if f.every == 0 || f.calls.Add(1)%f.every != 0 {
		return false, nil, nil
	}
	return true, nil, status.Error(codes.Code(f.code), "injected fault")
}

func main() {
	var f faults
	port := flag.Int("port", 8085, "TCP port")
	secure := flag.String("tls", "", "CERTIFICATE,KEY: PEM files for TLS on the next port; none without")
	host := flag.String("tls-host", "127.0.0.1", "the address of that")
	asGoogle := flag.Bool("as-google", false, "answers of -tls have a date, ids of 17 digits, and are not compressed")
	flag.Int64Var(&f.every, "fail-every", 0, "refuse every n-th Publish; 0 refuses none")
	flag.Int64Var(&f.code, "fail-code", int64(codes.Unavailable), "gRPC status code of a refusal")
	flag.Parse()
	srv := pstest.NewServerWithPort(*port, pstest.ServerReactorOption{FuncName: "Publish", Reactor: &f})
	log.Println("listening on", srv.Addr)
	if *secure != "" {
		go front(net.JoinHostPort(*host, strconv.Itoa(*port+1)), *secure, srv.Addr, *asGoogle)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	srv.Close()
}

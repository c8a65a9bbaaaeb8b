// pubsubfake serves pstest, the in-memory Pub/Sub of Google's own Go client, as gRPC on a loopback port; by TLS on the next one if asked to.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
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

// front takes TLS on one port and passes the bytes on to another: what comes out is HTTP/2, as ALPN says.
func front(port int, files, to string) {
	names := strings.SplitN(files, ",", 2)
	pair, err := tls.LoadX509KeyPair(names[0], names[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := tls.Listen("tcp", addr(port), &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go pass(client, to)
	}
}

func pass(client net.Conn, to string) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		client.Close()
		return
	}
	both, cancel := context.WithCancel(context.Background())
	defer client.Close()
	defer server.Close()
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			defer cancel()
			buffer := make([]byte, 65536)
			for {
				n, err := way[0].Read(buffer)
				if n > 0 {
					if _, err := way[1].Write(buffer[:n]); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		}()
	}
	<-both.Done()
}

func addr(port int) string {
	return (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
}

func main() {
	var f faults
	port := flag.Int("port", 8085, "TCP port")
	secure := flag.String("tls", "", "CERTIFICATE,KEY: PEM files for TLS on the next port; none without")
	flag.Int64Var(&f.every, "fail-every", 0, "refuse every n-th Publish; 0 refuses none")
	flag.Int64Var(&f.code, "fail-code", int64(codes.Unavailable), "gRPC status code of a refusal")
	flag.Parse()
	srv := pstest.NewServerWithPort(*port, pstest.ServerReactorOption{FuncName: "Publish", Reactor: &f})
	log.Println("listening on", srv.Addr)
	if *secure != "" {
		go front(*port+1, *secure, srv.Addr)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	srv.Close()
}

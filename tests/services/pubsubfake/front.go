package main

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const window = 1 << 30 // bytes that a client may send on one connection: there are no updates on the way

// front takes calls with one answer by TLS and hands them on. What it says on its own is what HTTP/2 demands: an answer goes out in one piece,
// and there are no probes of the bandwidth, as grpc-go has them after each request.
func front(at, files, to string, asGoogle bool) {
	names := strings.SplitN(files, ",", 2)
	pair, err := tls.LoadX509KeyPair(names[0], names[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := tls.Listen("tcp", at, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
	if err != nil {
		log.Fatal(err)
	}
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	back := &http.Transport{Protocols: plain, DisableCompression: true}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		c := &client{conn: conn, back: back, to: to, asGoogle: asGoogle, calls: map[uint32]*call{}}
		go func() {
			defer conn.Close()
			if err := c.serve(); err != nil && err != io.EOF {
				log.Println("front:", err)
			}
		}()
	}
}

// call is a request that is coming.
type call struct {
	head *http2.MetaHeadersFrame
	body bytes.Buffer
}

type client struct {
	conn     net.Conn
	back     *http.Transport
	to       string
	asGoogle bool
	calls    map[uint32]*call
	out      bytes.Buffer // what is written in one piece
	framer   *http2.Framer
	names    *hpack.Encoder
	block    bytes.Buffer
}

func (c *client) flush() error {
	_, err := c.conn.Write(c.out.Bytes())
	c.out.Reset()
	return err
}

func (c *client) serve() error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.conn, preface); err != nil {
		return err
	}
	c.framer = http2.NewFramer(&c.out, c.conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.names = hpack.NewEncoder(&c.block)
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	c.framer.WriteWindowUpdate(0, window)
	for {
		if err := c.flush(); err != nil {
			return err
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := c.take(frame); err != nil {
			return err
		}
	}
}

func (c *client) take(frame http2.Frame) error {
	ended := false
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		c.calls[f.StreamID] = &call{head: f}
		ended = f.StreamEnded()
	case *http2.DataFrame:
		if one := c.calls[f.StreamID]; one != nil {
			one.body.Write(f.Data())
			ended = f.StreamEnded()
		}
	case *http2.RSTStreamFrame:
		delete(c.calls, f.StreamID)
	}
	if one := c.calls[frame.Header().StreamID]; ended && one != nil {
		delete(c.calls, frame.Header().StreamID)
		return c.answer(frame.Header().StreamID, one)
	}
	return nil
}

func (c *client) answer(id uint32, one *call) error {
	if c.asGoogle { // grpc-go packs an answer as the request was, even for a client that asks for nothing packed
		unpack(&one.body)
	}
	request, err := http.NewRequest(one.head.PseudoValue("method"), "http://"+c.to+one.head.PseudoValue("path"), &one.body)
	if err != nil {
		return err
	}
	for _, field := range one.head.RegularFields() {
		request.Header.Add(field.Name, field.Value)
	}
	if c.asGoogle {
		request.Header.Del("Grpc-Encoding")
	}
	answer, err := c.back.RoundTrip(request)
	if err != nil {
		return c.framer.WriteRSTStream(id, http2.ErrCodeInternal)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return c.framer.WriteRSTStream(id, http2.ErrCodeInternal)
	}
	date := ""
	if c.asGoogle {
		date = time.Now().UTC().Format(http.TimeFormat)
	}
	if c.asGoogle && strings.HasSuffix(one.head.PseudoValue("path"), "/Publish") {
		body = longIds(body)
	}
	isAll := len(body) == 0 && len(answer.Trailer) == 0
	c.fields(id, isAll, ":status", "200", "content-type", answer.Header.Get("Content-Type"), "grpc-encoding", answer.Header.Get("Grpc-Encoding"),
		"grpc-status", answer.Header.Get("Grpc-Status"), "grpc-message", answer.Header.Get("Grpc-Message"),
		"date", date)
	if isAll {
		return nil
	}
	c.framer.WriteData(id, false, body)
	c.fields(id, true, "grpc-status", answer.Trailer.Get("Grpc-Status"), "grpc-message", answer.Trailer.Get("Grpc-Message"))
	return nil
}

// unpack makes a frame plain that is packed by gzip.
func unpack(framed *bytes.Buffer) {
	const head = 5
	if framed.Len() < head || framed.Bytes()[0] == 0 {
		return
	}
	reader, err := gzip.NewReader(bytes.NewReader(framed.Bytes()[head:]))
	if err != nil {
		return
	}
	message, err := io.ReadAll(reader)
	if err != nil {
		return
	}
	framed.Reset()
	framed.WriteByte(0)
	binary.Write(framed, binary.BigEndian, uint32(len(message)))
	framed.Write(message)
}

// longIds gives a PublishResponse, with its frame's head, ids of 17 digits.
func longIds(framed []byte) []byte {
	const head = 5
	if len(framed) < head || framed[0] != 0 {
		return framed
	}
	message := make([]byte, head, len(framed))
	for rest := framed[head:]; len(rest) >= 2 && rest[0] == 1<<3|2; rest = rest[2+int(rest[1]):] {
		message = append(message, 1<<3|2, 17)
		message = fmt.Appendf(message, "%017d", rand.Int63n(1e17))
	}
	binary.BigEndian.PutUint32(message[1:head], uint32(len(message)-head))
	return message
}

// fields writes names and values in turn; those without a value are left out.
func (c *client) fields(id uint32, ends bool, pairs ...string) {
	c.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			c.names.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: ends})
}

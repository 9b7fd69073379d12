/*
 * The yardstick: the loop that programs over libnetfilter_queue and libmnl
 * usually have. One receive, a table of attributes, one verdict, one send; no
 * batches. It uses nothing but the kernel's headers and is to be compiled with
 * -O2.
 *
 *	cloop QUEUE [gso]
 *
 * It prints "ready" when the queue is bound and runs until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct message {
	struct nlmsghdr nlh;
	struct nfgenmsg nfg;
	char attrs[256];
};

static void start(struct message *m, int type, int queue)
{
	memset(m, 0, sizeof m->nlh + sizeof m->nfg);
	m->nlh.nlmsg_len = NLMSG_LENGTH(sizeof m->nfg);
	m->nlh.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type;
	m->nlh.nlmsg_flags = NLM_F_REQUEST;
	m->nfg.version = NFNETLINK_V0;
	m->nfg.res_id = htons(queue);
}

static void put(struct message *m, int type, const void *data, size_t len)
{
	struct nlattr *a = (void *)((char *)m + NLMSG_ALIGN(m->nlh.nlmsg_len));

	a->nla_len = NLA_HDRLEN + len;
	a->nla_type = type;
	memcpy((char *)a + NLA_HDRLEN, data, len);
	m->nlh.nlmsg_len = NLMSG_ALIGN(m->nlh.nlmsg_len) + NLA_ALIGN(a->nla_len);
}

static int transmit(int fd, struct message *m)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(fd, m, m->nlh.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel);
}

int main(int argc, char **argv)
{
	static char buf[0xffff + 4096];
	struct message m;
	int queue = argc > 1 ? atoi(argv[1]) : 0;
	int gso = argc > 2 && !strcmp(argv[2], "gso");
	int one = 1, rcvbuf = 16 << 20;

	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof self) < 0) {
		perror("socket");
		return 2;
	}
	setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof one);
	rcvbuf /= 2;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof rcvbuf) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);

	struct nfqnl_msg_config_cmd cmd = { .command = NFQNL_CFG_CMD_BIND };
	struct nfqnl_msg_config_params params = { .copy_range = htonl(0xffff), .copy_mode = NFQNL_COPY_PACKET };
	uint32_t maxlen = htonl(4096), mask = htonl(NFQA_CFG_F_GSO), flags = gso ? mask : 0;

	start(&m, NFQNL_MSG_CONFIG, queue);
	put(&m, NFQA_CFG_CMD, &cmd, sizeof cmd);
	put(&m, NFQA_CFG_PARAMS, &params, sizeof params);
	put(&m, NFQA_CFG_QUEUE_MAXLEN, &maxlen, sizeof maxlen);
	put(&m, NFQA_CFG_MASK, &mask, sizeof mask);
	put(&m, NFQA_CFG_FLAGS, &flags, sizeof flags);
	m.nlh.nlmsg_flags |= NLM_F_ACK;
	if (transmit(fd, &m) < 0) {
		perror("bind queue");
		return 2;
	}
	puts("ready");
	fflush(stdout);

	for (;;) {
		struct sockaddr_nl from;
		struct iovec iov = { .iov_base = buf, .iov_len = sizeof buf };
		struct msghdr hdr = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t len = recvmsg(fd, &hdr, 0);
		if (len < 0) {
			if (errno == EINTR || errno == ENOBUFS)
				continue;
			perror("recvmsg");
			return 2;
		}
		for (struct nlmsghdr *nlh = (void *)buf; NLMSG_OK(nlh, len); nlh = NLMSG_NEXT(nlh, len)) {
			struct nlattr *tb[NFQA_MAX + 1] = { 0 };

			if (nlh->nlmsg_type == NLMSG_ERROR) {
				int code = ((struct nlmsgerr *)NLMSG_DATA(nlh))->error;
				if (code && code != -ENOENT) {
					fprintf(stderr, "refused: %s\n", strerror(-code));
					return 2;
				}
				continue;
			}
			char *at = (char *)NLMSG_DATA(nlh) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
			char *end = (char *)nlh + nlh->nlmsg_len;
			while (end - at >= NLA_HDRLEN) {
				struct nlattr *a = (void *)at;
				if (a->nla_len < NLA_HDRLEN || a->nla_len > end - at)
					break;
				int type = a->nla_type & NLA_TYPE_MASK;
				if (type <= NFQA_MAX)
					tb[type] = a;
				at += NLA_ALIGN(a->nla_len);
			}
			if (!tb[NFQA_PACKET_HDR])
				continue;
			struct nfqnl_msg_packet_hdr *ph = (void *)((char *)tb[NFQA_PACKET_HDR] + NLA_HDRLEN);
			struct nfqnl_msg_verdict_hdr vh = { .verdict = htonl(NF_ACCEPT), .id = ph->packet_id };
			start(&m, NFQNL_MSG_VERDICT, queue);
			put(&m, NFQA_VERDICT_HDR, &vh, sizeof vh);
			if (transmit(fd, &m) < 0) {
				perror("verdict");
				return 2;
			}
		}
	}
}

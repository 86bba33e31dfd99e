// Writes tests/golden/camera/tf2.json: results of tf2's BufferCore. Needs a checkout of ros2/geometry2 (jazzy) and the C++
// headers of ROS 2:
//
//   g++ -std=c++17 -O1 -I geometry2/tf2/include $(printf -- '-I%s ' $ROS_PREFIX/include/*) export/golden_tf2.cpp
//     geometry2/tf2/src/{cache,buffer_core,static_cache,time}.cpp -L$ROS_PREFIX/lib -lrcutils -o golden_tf2
//   ./golden_tf2 0.36.4 > tests/golden/camera/tf2.json      (the version is that of geometry2/tf2/package.xml)
//
// The cases are random trees with a fixed seed, and faults that occur on robots: transforms that are out of order, repeated,
// too old, not normalised or NaN; frames that change their parent, or change from static to moving; disconnected trees; loops.

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <geometry_msgs/msg/transform_stamped.hpp>
#include <tf2/buffer_core.h>
#include <tf2/exceptions.h>

namespace {

std::mt19937_64 generator(11);

double normal() { return std::normal_distribution<double>()(generator); }
int64_t below(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(generator); }

constexpr int64_t START = 1'700'000'000'000'000'000;
constexpr int64_t MS = 1'000'000;

struct Insert {
  std::string parent, child;
  int64_t stamp;
  double t[3], q[4];
  bool is_static;
};

Insert random_insert(std::string parent, std::string child, int64_t stamp, bool is_static) {
  Insert i{std::move(parent), std::move(child), stamp, {normal(), normal(), normal()}, {}, is_static};
  double norm = 0;
  for (double & v : i.q) {
    v = normal();
    norm += v * v;
  }
  for (double & v : i.q) v /= std::sqrt(norm);
  return i;
}

std::string frame(int64_t i) { return "f" + std::to_string(i); }

tf2::TimePoint time_point(int64_t ns) { return tf2::TimePoint(std::chrono::nanoseconds(ns)); }

struct Case {
  tf2::BufferCore buffer;
  std::string inserts, lookups;

  void insert(const Insert & i) {
    geometry_msgs::msg::TransformStamped m;
    m.header.frame_id = i.parent;
    m.child_frame_id = i.child;
    m.header.stamp.sec = static_cast<int32_t>(i.stamp / 1'000'000'000);
    m.header.stamp.nanosec = static_cast<uint32_t>(i.stamp % 1'000'000'000);
    m.transform.translation.x = i.t[0];
    m.transform.translation.y = i.t[1];
    m.transform.translation.z = i.t[2];
    m.transform.rotation.x = i.q[0];
    m.transform.rotation.y = i.q[1];
    m.transform.rotation.z = i.q[2];
    m.transform.rotation.w = i.q[3];
    const bool taken = buffer.setTransform(m, "golden", i.is_static);
    char line[640];
    // JSON has no NaN: null.
    std::string values;
    for (double v : {i.t[0], i.t[1], i.t[2], i.q[0], i.q[1], i.q[2], i.q[3]}) {
      char number[40];
      std::snprintf(number, sizeof number, "%.17g", v);
      values += (values.empty() ? "" : ",") + (std::isnan(v) ? std::string("null") : std::string(number));
    }
    std::snprintf(
      line, sizeof line, "{\"parent\":\"%s\",\"child\":\"%s\",\"stamp\":%lld,\"static\":%s,\"values\":[%s],\"taken\":%s}",
      i.parent.c_str(), i.child.c_str(), static_cast<long long>(i.stamp), i.is_static ? "true" : "false", values.c_str(),
      taken ? "true" : "false");
    inserts += (inserts.empty() ? "\n" : ",\n") + std::string(line);
  }

  void lookup(const std::string & target, const std::string & source, int64_t time) {
    std::string answer;
    try {
      const auto m = buffer.lookupTransform(target, source, time_point(time));
      const auto & t = m.transform.translation;
      const auto & q = m.transform.rotation;
      char line[256];
      std::snprintf(
        line, sizeof line, "\"values\":[%.12g,%.12g,%.12g,%.12g,%.12g,%.12g,%.12g]", t.x, t.y, t.z, q.x, q.y, q.z, q.w);
      answer = line;
    } catch (const tf2::ExtrapolationException & e) {
      const std::string message = e.what();
      const char * direction = message.find("into the future") != std::string::npos ? "future" :
        message.find("into the past") != std::string::npos ? "past" : "one";
      answer = std::string("\"error\":\"") + direction + "\"";
    } catch (const tf2::ConnectivityException &) {
      answer = "\"error\":\"disconnected\"";
    } catch (const tf2::LookupException & e) {
      const bool loop = std::string(e.what()).find("loop") != std::string::npos;
      answer = loop ? "\"error\":\"loop\"" : "\"error\":\"unknown\"";
    } catch (const tf2::InvalidArgumentException &) {
      answer = "\"error\":\"unknown\"";
    }
    char line[512];
    std::snprintf(
      line, sizeof line, "{\"target\":\"%s\",\"source\":\"%s\",\"time\":%lld,%s}", target.c_str(), source.c_str(),
      static_cast<long long>(time), answer.c_str());
    lookups += (lookups.empty() ? "\n" : ",\n") + std::string(line);
  }

  void print(const char * what, bool first) const {
    std::printf(
      "%s\n{\"what\":\"%s\",\"inserts\":[%s],\"lookups\":[%s]}", first ? "" : ",", what, inserts.c_str(), lookups.c_str());
  }
};

// A random tree with moving and static edges. With `switches`, frames change their parent and their kind.
void tree(const char * what, bool first, int64_t frames, bool switches, int64_t roots) {
  Case c;
  for (int64_t child = roots; child < frames; ++child) {
    int64_t parent = below(child);
    bool is_static = below(4) == 0;
    for (int64_t i = 0, n = is_static ? 1 : 3 + below(5); i < n; ++i) {
      if (switches && below(4) == 0) parent = below(child);
      if (switches && below(8) == 0) is_static = !is_static;
      c.insert(random_insert(frame(parent), frame(child), START + below(2000) * MS, is_static));
    }
  }
  for (int i = 0; i < 40; ++i) {
    const int64_t time = i % 4 == 0 ? 0 : START + below(2000) * MS + below(MS);
    c.lookup(frame(below(frames)), frame(below(frames)), time);
  }
  c.print(what, first);
}

void order() {
  Case c;
  for (int64_t ms : {1000, 3000, 2000, 3000, 500, 12000, 1999, 2000, 2001, 1500, 13500}) {
    c.insert(random_insert("map", "base", START + ms * MS, false));
  }
  Insert again = random_insert("map", "base", START + 13000 * MS, false);
  c.insert(again);
  c.insert(again);
  for (int64_t ms : {1000, 1500, 2000, 2001, 3000, 3499, 3500, 3501, 12000, 12500, 13000, 13250, 13500, 13501}) {
    c.lookup("map", "base", START + ms * MS);
    c.lookup("base", "map", START + ms * MS + 1);
  }
  c.print("order of arrival, repeated and old stamps", false);
}

void refused() {
  Case c;
  Insert good = random_insert("map", "base", START, false);
  c.insert(good);
  auto with = [&](auto change) {
    Insert i = random_insert("map", "base", START + MS, false);
    change(i);
    c.insert(i);
  };
  with([](Insert & i) { i.parent = "base"; });
  with([](Insert & i) { i.parent = ""; });
  with([](Insert & i) { i.child = ""; });
  with([](Insert & i) { i.child = "/"; });
  with([](Insert & i) { i.parent = "/base"; });
  with([](Insert & i) { i.t[1] = std::nan(""); });
  with([](Insert & i) { i.q[2] = std::nan(""); });
  // Quaternions of other lengths are left out: tf2 0.36 should refuse them, but checks the length after normalisation.
  for (double scale : {0.0, 0.9951, 1.0, 1.0049}) {
    with([&](Insert & i) {
      for (double & v : i.q) v *= scale;
      i.child = "turned";
    });
  }
  c.lookup("map", "base", START);
  c.lookup("map", "base", START + 1);
  c.lookup("map", "nowhere", START);
  c.lookup("nowhere", "map", 0);
  c.lookup("", "map", 0);
  c.lookup("map", "", 0);
  c.lookup("base", "base", START + 99 * MS);
  c.print("what is refused", false);
}

void loops() {
  Case c;
  for (auto [parent, child] : {std::pair{"a", "b"}, {"b", "c"}, {"c", "a"}, {"x", "y"}, {"y", "z"}}) {
    c.insert(random_insert(parent, child, START, true));
  }
  for (int64_t time : {int64_t{0}, START}) {
    for (auto [target, source] : {std::pair{"x", "a"}, {"a", "x"}, {"z", "x"}, {"b", "a"}, {"a", "c"}}) {
      c.lookup(target, source, time);
    }
  }
  c.print("a loop", false);
}

void one_sample() {
  Case c;
  c.insert(random_insert("map", "odom", START, false));
  c.insert(random_insert("odom", "base", START + 5 * MS, false));
  c.insert(random_insert("base", "camera", 0, true));
  for (int64_t ms : {-1, 0, 3, 5, 9}) {
    c.lookup("map", "base", START + ms * MS);
    c.lookup("camera", "odom", START + ms * MS);
  }
  c.lookup("map", "camera", 0);
  c.lookup("camera", "base", START - 50 * MS);
  c.print("one transform only", false);
}

}  // namespace

int main(int, char ** argv) {
  std::printf("{\"made_with\":{\"tf2\":\"%s\"},\"cases\":[", argv[1]);
  tree("a tree", true, 8, false, 1);
  tree("a deep tree", false, 14, false, 1);
  tree("frames that change their parent or their kind", false, 9, true, 1);
  tree("several trees", false, 9, false, 3);
  order();
  refused();
  loops();
  one_sample();
  std::printf("\n]}\n");
}
